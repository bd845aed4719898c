package agent

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/steppe-run/steppe/internal/clock"
)

// bannerWait is how long the banner waits for a leader and for the drivers'
// fingerprints before it is shown with what is known.
const bannerWait = 3 * time.Second

// remedies tell how to get a driver that wasn't found.
var remedies = map[string]string{
	"docker": "start the engine, or install it first, as root on Debian or Ubuntu: apt-get install docker.io",
}

// announce shows once where the agent can be reached and what it found.
func (a *assembly) announce(ctx context.Context) error {
	a.awaitReady(ctx)
	if ctx.Err() != nil {
		return nil
	}
	say(a.process.Out, "%s", a.banner())
	return nil
}

func (a *assembly) awaitReady(ctx context.Context) {
	deadline := clock.Real{}.NewTimer(bannerWait)
	defer deadline.Stop()
	for !a.ready() {
		step := clock.Real{}.NewTimer(20 * time.Millisecond)
		select {
		case <-ctx.Done():
			return
		case <-deadline.C():
			return
		case <-step.C():
		}
	}
}

func (a *assembly) ready() bool {
	if a.server != nil {
		if _, known := a.server.Leader(); !known {
			return false
		}
	}
	if a.client == nil {
		return true
	}
	node := a.client.Node() // nil until the machine was looked at
	return node != nil && len(node.Drivers) >= len(a.host.Names())
}

func (a *assembly) banner() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Steppe v%s: %s\n\n", a.process.Version, a.kind())
	scheme := "http"
	if a.config.TLS.HTTP {
		scheme = "https"
	}
	fmt.Fprintf(&b, "  API      %s://%s\n", scheme, a.settings.HTTPAdvertise)
	fmt.Fprintf(&b, "  data     %s\n", a.config.DataDir)
	if a.client != nil {
		found, missing := a.drivers()
		fmt.Fprintf(&b, "  drivers  %s\n", strings.Join(found, ", "))
		for _, line := range missing {
			fmt.Fprintf(&b, "  missing  %s\n", line)
		}
	}
	if a.config.InsecureOpenAPI {
		b.WriteString("\nWARNING: insecure_open_api is set: whoever reaches the API may run anything here.\n")
	}
	if a.config.Dev {
		b.WriteString("\nNothing is kept when this agent ends. Ctrl-C ends it.\n")
	}
	return b.String()
}

func (a *assembly) kind() string {
	switch {
	case a.config.Dev:
		return "development agent (server and client)"
	case a.server != nil && a.client != nil:
		return "server and client"
	case a.server != nil:
		return "server"
	}
	return "client"
}

func (a *assembly) drivers() (found, missing []string) {
	node := a.client.Node()
	if node == nil {
		return nil, []string{"the machine is still being looked at"}
	}
	for name, d := range node.Drivers {
		switch {
		case d.Detected && d.Healthy:
			found = append(found, name)
		case remedies[name] != "":
			missing = append(missing, fmt.Sprintf("%s: %s; %s", name, d.HealthDescription, remedies[name]))
		default:
			missing = append(missing, fmt.Sprintf("%s: %s", name, d.HealthDescription))
		}
	}
	sort.Strings(found)
	sort.Strings(missing)
	return found, missing
}
