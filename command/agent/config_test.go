package agent

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/structs"
)

func TestFileIsDecodedOverDefaults(t *testing.T) {
	c := Default()
	err := c.LoadSource("a.hcl", []byte(`
name     = "n1"
data_dir = "/var/lib/steppe"
ports { http = "5646" }
server {
  enabled          = true
  bootstrap_expect = 3
  server_join { retry_join = ["127.0.0.2"] }
}
client {
  enabled = true
  meta { rack = "r1" }
  meta = { zone = "z1" }
  host_volume "data" { path = "/srv" }
}
plugin "docker" {
  config { allow_privileged = true }
}
`))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.LoadSource("b.json", []byte(`{"client": {"node_class": "big"}, "log_level": "DEBUG"}`)); err != nil {
		t.Fatal(err)
	}
	if c.Ports.HTTP != 5646 || c.Ports.RPC != 4647 || c.Region != "global" {
		t.Errorf("ports %+v region %q", c.Ports, c.Region)
	}
	if !c.Client.Enabled || c.Client.NodeClass != "big" || c.Client.Meta["rack"] != "r1" || c.Client.Meta["zone"] != "z1" {
		t.Errorf("client %+v", c.Client)
	}
	if c.LogLevel != "DEBUG" || c.Server.HeartbeatGrace != "10s" || len(c.Plugins) != 1 {
		t.Errorf("config %+v", c)
	}
	s, err := c.Settings()
	if err != nil {
		t.Fatal(err)
	}
	if s.ServerDir != "/var/lib/steppe/server" || s.RetryJoin[0] != "127.0.0.2" || s.HTTPAddr != "0.0.0.0:5646" {
		t.Errorf("settings %+v", s)
	}
}

func TestFaultsPointAtThePlace(t *testing.T) {
	for name, tc := range map[string]struct {
		src  string
		want []string
	}{
		"unknown key":   {"server {\n  enabeld = true\n}\n", []string{"a.hcl line 2", "enabeld", `Did you mean "enabled"?`}},
		"unknown block": {"servr {\n}\n", []string{"a.hcl line 1", `Did you mean "server"?`}},
		"not built":     {"consul {\n}\n", []string{"a.hcl line 1", "not built yet", "docs/status.md"}},
		"wrong type":    {"ports { http = [1] }\n", []string{"a.hcl line 1", "number required"}},
		"syntax":        {"ports {\n", []string{"a.hcl line"}},
		"two at once":   {"foo = 1\nregion = {}\n", []string{"line 1", "line 2"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := Default().LoadSource("a.hcl", []byte(tc.src))
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q misses %q", err, want)
				}
			}
		})
	}
}

func TestSettingsTellsAllFaults(t *testing.T) {
	c := Default()
	c.Server.Enabled = true
	c.Server.HeartbeatGrace = "soon"
	c.Ports.HTTP = 70000
	c.Server.JobMaxCount = -1
	c.Server.LossBrakePercent, c.Server.LossBrakeMinNodes, c.Server.LossBrakeHold = 0, -1, "a while"
	c.Server.QuarantineAfter = -1
	c.Client.DNS = &DNSBlock{Port: 0, Domain: "a b", TTL: "6s", Addresses: []string{"localhost"}, Upstreams: []string{"1.1.1.1:0"}}
	c.ACL.Enabled = true
	_, err := c.Settings()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"data_dir", "server.heartbeat_grace", "server.job_max_count", "server.loss_brake_percent", "server.loss_brake_min_nodes", "server.loss_brake_hold", "server.quarantine_after", "ports.http", "acl.enabled", "client.dns.port", "client.dns.domain", "client.dns.ttl", "client.dns.addresses", "client.dns.upstreams"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q misses %q", err, want)
		}
	}
}

func TestDevNeedsNoFile(t *testing.T) {
	c := Default()
	c.ApplyDev()
	c.DataDir = t.TempDir()
	s, err := c.Settings()
	if err != nil {
		t.Fatal(err)
	}
	if s.HTTPAddr != "127.0.0.1:4646" || !c.Server.Enabled || !c.Client.Enabled {
		t.Errorf("settings %+v", s)
	}
}

func TestTheMostInstancesOfAJob(t *testing.T) {
	for line, want := range map[string]int{"": 50_000, "job_max_count = 7": 7, "job_max_count = 0": -1} {
		c := Default()
		if err := c.LoadSource("a.hcl", []byte("server {\n  enabled = true\n  "+line+"\n}\n")); err != nil {
			t.Fatal(err)
		}
		if got := (&assembly{config: c, settings: &Settings{}, logger: logx.Discard()}).serverConfig().JobMaxCount; got != want {
			t.Errorf("%q: %d, want %d", line, got, want)
		}
	}
}

func TestTheFirstSchedulerConfiguration(t *testing.T) {
	c := Default()
	if c.Server.Scheduler.configuration() != nil {
		t.Error("no block, but a configuration")
	}
	const head = "data_dir = \"/var/lib/steppe\"\nserver {\n  enabled = true\n  default_scheduler_config {\n"
	if err := c.LoadSource("a.hcl", []byte(head+`
    scheduler_algorithm = "spread"
    memory_oversubscription_enabled = true
    reject_job_registration = true
    pause_eval_broker = true
    node_limit_for_feasibility_checks = 7
    preemption_config { service_scheduler_enabled = true }
  }
}`)); err != nil {
		t.Fatal(err)
	}
	got := *c.Server.Scheduler.configuration()
	want := structs.SchedulerConfiguration{
		SchedulerAlgorithm: "spread", MemoryOversubscriptionEnabled: true, RejectJobRegistration: true, PauseEvalBroker: true,
		NodeLimitForFeasibilityChecks: 7,
		PreemptionConfig:              structs.PreemptionConfig{SystemSchedulerEnabled: true, ServiceSchedulerEnabled: true},
	}
	if got != want {
		t.Errorf("%+v", got)
	}
	bad := Default()
	if err := bad.LoadSource("a.hcl", []byte(head+"scheduler_algorithm = \"random\"\n}\n}")); err != nil {
		t.Fatal(err)
	}
	if _, err := bad.Settings(); err == nil || !strings.Contains(err.Error(), "use binpack or spread") {
		t.Errorf("an unknown algorithm: %v", err)
	}
}

func TestTheChrootIsToldToTheDriver(t *testing.T) {
	c := Default()
	err := c.LoadSource("a.hcl", []byte(`
client {
  chroot_env = {
    "/opt/tools" = "/tools"
    "/usr"       = "/usr"
  }
}
plugin "exec" {
  config { pids_limit = 10 }
}
`))
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := c.pluginBlocks()
	if err != nil {
		t.Fatal(err)
	}
	paths, _ := blocks["exec"].Config["chroot_env"].(map[string]any)
	if len(paths) != 2 || paths["/opt/tools"] != "/tools" || blocks["exec"].Config["pids_limit"] == nil {
		t.Errorf("the driver is told %v", blocks["exec"].Config)
	}
}

func TestWhereNamesAreAnsweredFor(t *testing.T) {
	c := Default()
	if got := c.Client.DNS.config(0); !slices.Equal(got.Addrs, []string{"127.0.0.1:8600"}) || got.Upstreams != nil || got.Domain != "steppe" {
		t.Errorf("by default %+v", got)
	}
	path := filepath.Join(t.TempDir(), "c.hcl")
	text := `client {
  dns {
    port      = 53
    addresses = ["172.26.64.1", "[::1]:5300"]
    upstreams = ["192.0.2.1"]
  }
}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.LoadPath(path); err != nil {
		t.Fatal(err)
	}
	if got := c.Client.DNS.config(0); !slices.Equal(got.Addrs, []string{"172.26.64.1:53", "[::1]:5300"}) || !slices.Equal(got.Upstreams, []string{"192.0.2.1:53"}) {
		t.Errorf("as configured %+v", got)
	}
	c.Client.DNS.Upstreams, c.Client.DNS.Enabled = []string{}, false
	if got := c.Client.DNS.config(0); len(got.Addrs) != 0 || got.Upstreams == nil {
		t.Errorf("switched off, without upstreams %+v", got)
	}
}
