// Package cloud finds out what a machine's cloud says of it: its kind, its
// place, its names, as the attributes that jobs know.
//
// A cloud answers at an address that is good on one link only, and on any other
// network that address is somebody else's: it is asked only where the machine's
// firmware names the cloud. What answers is taken for hostile. The package must
// not know nodes. Begin reading at Look.
package cloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"
)

const (
	// Patience bounds everything that is asked of a cloud together.
	Patience = time.Second
	// maxAnswer and maxValue bound what is read, and what is told of it;
	// maxAttributes how much.
	maxAnswer     = 256 << 10
	maxValue      = 1 << 10
	maxAttributes = 256
	// address is where all of these clouds answer.
	address = "http://169.254.169.254"
)

// Options say where to look.
type Options struct {
	// Root is where the firmware's files are found instead of /.
	Root string
	// Base is asked instead of the cloud's own address.
	Base string
	// Wants reports whether a cloud of that name, such as env_aws, is looked for.
	Wants func(name string) bool
}

// Found is what a cloud told.
type Found struct {
	Attributes map[string]string
	Links      map[string]string
}

// provider is one cloud.
type provider struct {
	name string
	// here recognises it by what the firmware says.
	here func(firmware) bool
	// header is asked for with every question.
	header [2]string
	look   func(context.Context, *asker, *Found) error
}

func providers() []provider {
	return []provider{
		{"env_aws", isAWS, [2]string{}, lookAWS},
		{"env_gce", isGCE, [2]string{"Metadata-Flavor", "Google"}, lookGCE},
		{"env_azure", isAzure, [2]string{"Metadata", "true"}, lookAzure},
		{"env_digitalocean", isDigitalOcean, [2]string{}, lookDigitalOcean},
	}
}

// Name returns the cloud that the firmware names, "" if it names none that is
// looked for.
func Name(opts Options) string {
	if p := opts.provider(); p != nil {
		return p.name
	}
	return ""
}

func (o Options) provider() *provider {
	facts := readFirmware(o.Root)
	for _, p := range providers() {
		if (o.Wants == nil || o.Wants(p.name)) && p.here(facts) {
			return &p
		}
	}
	return nil
}

// Look asks the machine's cloud, if it has one. What was told before an error is
// of use all the same.
func Look(ctx context.Context, opts Options) (Found, error) {
	found := Found{Attributes: map[string]string{}, Links: map[string]string{}}
	p := opts.provider()
	if p == nil {
		return Found{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	base := opts.Base
	if base == "" {
		base = address
	}
	transport := &http.Transport{
		Proxy:             nil, // a proxy would be told of another machine
		DisableKeepAlives: true,
		DialContext:       (&net.Dialer{}).DialContext,
	}
	defer transport.CloseIdleConnections()
	a := &asker{base: base, header: map[string]string{}, http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if p.header[0] != "" {
		a.header[p.header[0]] = p.header[1]
	}
	if err := p.look(ctx, a, &found); err != nil {
		return found, fmt.Errorf("ask the cloud (%s): %w", p.name, err)
	}
	return found, nil
}

// set keeps what is fit to be told.
func (f *Found) set(key, value string) {
	value = strings.TrimSpace(value)
	if value == "" || len(value) > maxValue || len(key) > maxValue || len(f.Attributes) >= maxAttributes {
		return
	}
	if strings.ContainsFunc(key+value, func(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar }) {
		return
	}
	f.Attributes[key] = value
}

// firmware is what the machine's maker wrote into it.
type firmware struct{ vendor, bios, product, asset string }

func readFirmware(root string) firmware {
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(root, "/sys/class/dmi/id", name))
		if err != nil || len(data) > maxValue {
			return ""
		}
		return strings.TrimSpace(string(data))
	}
	return firmware{vendor: read("sys_vendor"), bios: read("bios_vendor"), product: read("product_name"), asset: read("chassis_asset_tag")}
}

// errNotThere says that the cloud has nothing of that name.
var errNotThere = errors.New("the cloud knows nothing of that name")

// asker puts questions to a cloud.
type asker struct {
	base   string
	header map[string]string
	http   *http.Client
}

func (a *asker) get(ctx context.Context, path string) ([]byte, error) {
	return a.ask(ctx, http.MethodGet, path, nil)
}

func (a *asker) ask(ctx context.Context, method, path string, header map[string]string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, nil)
	if err != nil {
		return nil, err
	}
	for _, all := range []map[string]string{a.header, header} {
		for name, value := range all {
			req.Header.Set(name, value)
		}
	}
	res, err := a.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }() // only read
	switch {
	case res.StatusCode == http.StatusNotFound:
		return nil, errNotThere
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s: it answers %s", path, res.Status)
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxAnswer {
		return nil, fmt.Errorf("%s: its answer is longer than %d bytes", path, maxAnswer)
	}
	return data, nil
}
