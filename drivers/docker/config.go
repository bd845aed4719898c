//go:build linux

package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/moby/moby/client"

	"github.com/steppe-run/steppe/drivers"
)

// pluginConfig is the `plugin "docker"` block.
type pluginConfig struct {
	Endpoint              string        `codec:"endpoint"`
	Auth                  *authFiles    `codec:"auth"`
	TLS                   *tlsFiles     `codec:"tls"`
	ExtraLabels           []string      `codec:"extra_labels"`
	Logging               *logging      `codec:"logging"`
	GC                    *gcConfig     `codec:"gc"`
	Volumes               *volumes      `codec:"volumes"`
	AllowPrivileged       bool          `codec:"allow_privileged"`
	AllowCaps             []string      `codec:"allow_caps"`
	AllowRuntimes         []string      `codec:"allow_runtimes"`
	AllowSecurityOpt      []string      `codec:"allow_security_opt"`
	AllowDevices          []string      `codec:"allow_devices"`
	NoNewPrivileges       bool          `codec:"no_new_privileges"`
	NvidiaRuntime         string        `codec:"nvidia_runtime"`
	InfraImage            string        `codec:"infra_image"`
	InfraImagePullTimeout string        `codec:"infra_image_pull_timeout"`
	infraImagePullTimeout time.Duration `codec:"-"`
	AllowedModes          *allowedModes `codec:"allowed_modes"`
	ImagePullTimeout      string        `codec:"image_pull_timeout"`
	PullActivityTimeout   string        `codec:"pull_activity_timeout"`
	ContainerExists       int           `codec:"container_exists_attempts"`
	PidsLimit             int64         `codec:"pids_limit"`
	OOMScoreAdj           int           `codec:"oom_score_adj"`
	DisableLogCollection  bool          `codec:"disable_log_collection"`
	imagePullTimeout      time.Duration `codec:"-"`
	pullActivityTimeout   time.Duration `codec:"-"`
	imageDelay            time.Duration `codec:"-"`
	danglingPeriod, grace time.Duration `codec:"-"`
}

type authFiles struct {
	Config string `codec:"config"`
	Helper string `codec:"helper"`
}

type tlsFiles struct {
	Cert string `codec:"cert"`
	Key  string `codec:"key"`
	CA   string `codec:"ca"`
}

// logging is the engine's logging of a container.
type logging struct {
	Type   string              `codec:"type"`
	Driver string              `codec:"driver"`
	Config []map[string]string `codec:"config"`
}

type gcConfig struct {
	Image      bool      `codec:"image"`
	ImageDelay string    `codec:"image_delay"`
	Container  bool      `codec:"container"`
	Dangling   *dangling `codec:"dangling_containers"`
}

type dangling struct {
	Enabled       bool   `codec:"enabled"`
	Period        string `codec:"period"`
	CreationGrace string `codec:"creation_grace"`
	DryRun        bool   `codec:"dry_run"`
}

type volumes struct {
	Enabled      bool   `codec:"enabled"`
	SELinuxLabel string `codec:"selinuxlabel"`
}

type allowedModes struct {
	PID    []string `codec:"pid"`
	IPC    []string `codec:"ipc"`
	Userns []string `codec:"userns"`
	UTS    []string `codec:"uts"`
}

// defaultCaps is what a container gets and may ask for unless the node says
// otherwise.
const defaultCaps = "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT"

// short forms for the schema's tables.
func text(name string) *drivers.Spec   { return drivers.Attr(name, "string") }
func number(name string) *drivers.Spec { return drivers.Attr(name, "number") }
func flag(name string) *drivers.Spec   { return drivers.Attr(name, "bool") }
func list(name string) *drivers.Spec   { return drivers.Attr(name, "list(string)") }
func dict(name string) *drivers.Spec   { return drivers.Attr(name, "list(map(string))") }

func textOr(name, value string) *drivers.Spec {
	return drivers.Default(text(name), fmt.Sprintf("%q", value))
}

// blockOr is a block that, when absent, is as if it were empty.
func blockOr(name string, fields drivers.Fields, empty string) *drivers.Spec {
	return drivers.Default(drivers.Block(name, drivers.Object(fields)), empty)
}

func pluginSchema() *drivers.Spec {
	const noDangling = `{ enabled = true, period = "5m", creation_grace = "5m", dry_run = false }`
	quoted := strings.Fields(defaultCaps)
	for i, c := range quoted {
		quoted[i] = fmt.Sprintf("%q", c)
	}
	return drivers.Object(drivers.Fields{
		"endpoint": text("endpoint"),
		"auth":     drivers.Block("auth", drivers.Object(drivers.Fields{"config": text("config"), "helper": text("helper")})),
		"tls":      drivers.Block("tls", drivers.Object(drivers.Fields{"cert": text("cert"), "key": text("key"), "ca": text("ca")})),
		"logging": blockOr("logging", drivers.Fields{"type": textOr("type", "json-file"), "driver": text("driver"), "config": dict("config")},
			`{ type = "json-file", driver = null, config = [{ max-file = "2", max-size = "2m" }] }`),
		"gc": blockOr("gc", drivers.Fields{
			"image": drivers.Default(flag("image"), "true"), "image_delay": textOr("image_delay", "3m"), "container": drivers.Default(flag("container"), "true"),
			"dangling_containers": blockOr("dangling_containers", drivers.Fields{
				"enabled": drivers.Default(flag("enabled"), "true"), "period": textOr("period", "5m"),
				"creation_grace": textOr("creation_grace", "5m"), "dry_run": drivers.Default(flag("dry_run"), "false"),
			}, noDangling),
		}, `{ image = true, image_delay = "3m", container = true, dangling_containers = `+noDangling+` }`),
		"volumes": blockOr("volumes", drivers.Fields{"enabled": drivers.Default(flag("enabled"), "false"), "selinuxlabel": text("selinuxlabel")},
			`{ enabled = false, selinuxlabel = null }`),
		"allowed_modes":      drivers.Block("allowed_modes", drivers.Object(drivers.Fields{"pid": list("pid"), "ipc": list("ipc"), "userns": list("userns"), "uts": list("uts")})),
		"allow_privileged":   drivers.Default(flag("allow_privileged"), "false"),
		"allow_caps":         drivers.Default(list("allow_caps"), "["+strings.Join(quoted, ", ")+"]"),
		"allow_security_opt": list("allow_security_opt"), "allow_devices": list("allow_devices"),
		"no_new_privileges": drivers.Default(flag("no_new_privileges"), "true"),
		"allow_runtimes":    drivers.Default(list("allow_runtimes"), `["runc", "nvidia"]`),
		"extra_labels":      list("extra_labels"), "nvidia_runtime": textOr("nvidia_runtime", "nvidia"),
		"infra_image": text("infra_image"), "infra_image_pull_timeout": textOr("infra_image_pull_timeout", "5m"),
		"image_pull_timeout": textOr("image_pull_timeout", "5m"), "pull_activity_timeout": textOr("pull_activity_timeout", "2m"),
		"container_exists_attempts": drivers.Default(number("container_exists_attempts"), "5"),
		"pids_limit":                number("pids_limit"), "oom_score_adj": drivers.Default(number("oom_score_adj"), "0"),
		"disable_log_collection":                 drivers.Default(flag("disable_log_collection"), "false"),
		"windows_allow_insecure_container_admin": drivers.Default(flag("windows_allow_insecure_container_admin"), "false"),
	})
}

// Configure implements drivers.Describer. It doesn't ask the engine anything.
func (d *Driver) Configure(_ context.Context, config []byte, node *drivers.NodeConfig) error {
	c := &pluginConfig{}
	if err := drivers.DecodeConfig(config, c); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return err
	}
	options := []client.Opt{client.WithUserAgent("steppe")}
	switch {
	case c.Endpoint != "":
		options = append(options, client.WithHost(c.Endpoint))
	default:
		options = append(options, client.WithHostFromEnv(), client.WithTLSClientConfigFromEnv())
	}
	if c.TLS != nil {
		options = append(options, client.WithTLSClientConfig(c.TLS.CA, c.TLS.Cert, c.TLS.Key))
	}
	engine, err := client.New(options...)
	if err != nil {
		return fmt.Errorf("endpoint %q: %w", c.Endpoint, err)
	}
	if node == nil {
		// It was only a question whether the block is right.
		return engine.Close()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.config, d.engine = c, engine
	return nil
}

func (c *pluginConfig) check() error {
	if c.Auth != nil {
		if err := c.Auth.source().Check(); err != nil {
			return fmt.Errorf("auth.helper: %w", err)
		}
	}
	if c.GC == nil || c.GC.Dangling == nil || c.Volumes == nil {
		return errors.New("the configuration is incomplete: encode it by the driver's schema")
	}
	for _, field := range []struct {
		name, text string
		into       *time.Duration
	}{
		{"image_pull_timeout", c.ImagePullTimeout, &c.imagePullTimeout}, {"pull_activity_timeout", c.PullActivityTimeout, &c.pullActivityTimeout},
		{"infra_image_pull_timeout", c.InfraImagePullTimeout, &c.infraImagePullTimeout},
		{"gc.image_delay", c.GC.ImageDelay, &c.imageDelay}, {"gc.dangling_containers.period", c.GC.Dangling.Period, &c.danglingPeriod},
		{"gc.dangling_containers.creation_grace", c.GC.Dangling.CreationGrace, &c.grace},
	} {
		v, err := time.ParseDuration(field.text)
		if err != nil || v < 0 {
			return fmt.Errorf("%s: %q is not a duration such as 5m", field.name, field.text)
		}
		*field.into = v
	}
	if c.OOMScoreAdj < 0 || c.OOMScoreAdj > 1000 {
		return fmt.Errorf("oom_score_adj %d must be between 0 and 1000", c.OOMScoreAdj)
	}
	if c.InfraImage != "" {
		if err := checkReference(c.InfraImage); err != nil {
			return fmt.Errorf("infra_image: %w", err)
		}
	}
	return nil
}

func (d *Driver) gc() *gcConfig {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.config.GC
}
