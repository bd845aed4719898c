package taskenv

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/structs"
)

var rewrite = flag.Bool("rewrite", false, "write the golden file anew")

func p[T any](v T) *T { return &v }

func sample() Input {
	task := &structs.Task{
		Name: "web", Meta: map[string]string{"owner.name": "ann", "tier": "task"},
		Env: map[string]string{
			"GREETING": "hi from ${node.unique.name} in ${NOMAD_DC}", "UNKNOWN": "${no.such.thing}",
			"FROM_HOST": `${env["HOST_ONLY"]}`, "PATH": "/own",
		},
	}
	job := &structs.Job{ID: p("shop/periodic-1"), Name: p("shop"), ParentID: p("shop"), Meta: map[string]string{"tier": "job", "team": "red"},
		TaskGroups: []*structs.TaskGroup{{Name: p("front"), Tasks: []*structs.Task{task}}}}
	return Input{
		Region: "global", Task: task,
		Node: &structs.Node{ID: "node-id", Name: "n1", Datacenter: "dc1", NodeClass: "big", NodePool: "default", CgroupParent: "/nomad",
			Attributes: map[string]string{"kernel.name": "linux"}, Meta: map[string]string{"rack": "r1"}},
		Alloc: &structs.Allocation{
			ID: "12345678-2222-3333-4444-555555555555", Name: "shop.front[3]", JobID: "shop/periodic-1", Job: job, TaskGroup: "front", Namespace: "prod",
			AllocatedResources: &structs.AllocatedResources{
				Tasks: map[string]*structs.AllocatedTaskResources{
					"web": {Cpu: structs.AllocatedCpuResources{CpuShares: 500}, Memory: structs.AllocatedMemoryResources{MemoryMB: 256, MemoryMaxMB: 512}},
					"old": {Networks: []*structs.NetworkResource{{IP: "10.0.0.9", ReservedPorts: []structs.Port{{Label: "db", Value: 5432}}}}},
				},
				Shared: structs.AllocatedSharedResources{Ports: []structs.PortMapping{
					{Label: "http", Value: 20001, To: 8080, HostIP: "10.0.0.1"},
					{Label: "admin-6", Value: 20002, HostIP: "fd00::1"},
				}},
			},
			NetworkStatus: &structs.AllocNetworkStatus{InterfaceName: "eth0", Address: "172.26.64.2"},
		},
		Paths: Paths{Alloc: "/alloc", Local: "/local", Secrets: "/secrets"},
		Host:  map[string]string{"PATH": "/usr/bin", "HOST_ONLY": "yes"},
	}
}

func TestEnvironmentGolden(t *testing.T) {
	got := strings.Join(Build(sample()).List(), "\n") + "\n"
	path := filepath.Join("testdata", "environment.golden")
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("environment differs; got:\n%s\nwant:\n%s", got, want)
	}
}

func TestReplace(t *testing.T) {
	e := Build(sample())
	for in, want := range map[string]string{
		"plain":                             "plain",
		"${node.unique.id}":                 "node-id",
		"${node.class}/${node.pool}":        "big/default",
		"${node.region} ${node.datacenter}": "global dc1",
		"${attr.kernel.name}":               "linux",
		"${meta.rack}":                      "r1",
		"${NOMAD_PORT_http}":                "8080",
		"${ NOMAD_PORT_http }":              "8080",
		`${env["NOMAD_META_owner_name"]}`:   "ann",
		"${attr.no.such}":                   "${attr.no.such}",
		"${unfinished":                      "${unfinished",
		"a${NOMAD_DC}b${NOMAD_DC}c":         "adc1bdc1c",
		"$NOMAD_DC and $${NOMAD_DC}":        "$NOMAD_DC and $dc1",
		"${env[\"NO\"]}":                    "${env[\"NO\"]}",
		"${NOMAD_META_TIER}":                "task",
	} {
		if got := e.Replace(in); got != want {
			t.Errorf("%s → %s, want %s", in, got, want)
		}
	}
}

func TestDriverPortMapWins(t *testing.T) {
	in := sample()
	in.Network = &drivers.Network{PortMap: map[string]int{"http": 80}}
	if got := Build(in).Get("NOMAD_PORT_http"); got != "80" {
		t.Errorf("NOMAD_PORT_http=%s", got)
	}
}

func TestGroupEnvironmentHasNoTask(t *testing.T) {
	in := sample()
	in.Task = nil
	e := Build(in)
	if _, ok := e.Map()["NOMAD_TASK_NAME"]; ok || e.Get("NOMAD_META_tier") != "job" {
		t.Errorf("environment %v", e.List())
	}
}

func TestHostVariablesHideSecrets(t *testing.T) {
	got := HostVariables([]string{"PATH=/bin", "VAULT_TOKEN=s.1", "nomad_token=x", "EMPTY=", "BROKEN", "=x"}, HostDenylist)
	if len(got) != 2 || got["PATH"] != "/bin" {
		t.Errorf("variables %v", got)
	}
}

func FuzzReplace(f *testing.F) {
	f.Add("${a}${NOMAD_DC}")
	f.Add(`${env["`)
	e := Build(sample())
	f.Fuzz(func(t *testing.T, s string) {
		if !strings.Contains(s, "${") && e.Replace(s) != s {
			t.Errorf("%q was changed", s)
		}
		e.Replace(s)
	})
}

func TestReservedCoresAreTold(t *testing.T) {
	task := &structs.Task{Name: "web"}
	a := &structs.Allocation{ID: "a", AllocatedResources: &structs.AllocatedResources{Tasks: map[string]*structs.AllocatedTaskResources{
		"web": {Cpu: structs.AllocatedCpuResources{ReservedCores: []uint16{3, 0, 1}}},
	}}}
	if got := Build(Input{Alloc: a, Task: task}).Get("NOMAD_CPU_CORES"); got != "0-1,3" {
		t.Errorf("NOMAD_CPU_CORES is %q", got)
	}
	a.AllocatedResources = nil
	if got := Build(Input{Alloc: a, Task: task}).Get("NOMAD_CPU_CORES"); got != " " {
		t.Errorf("without cores NOMAD_CPU_CORES is %q", got)
	}
}
