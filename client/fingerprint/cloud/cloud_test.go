package cloud

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// machine makes the firmware's files of a machine.
func machine(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "sys/class/dmi/id")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// answers serves what a cloud would.
func answers(t *testing.T, f http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return server.URL
}

func TestAmazonIsAskedWithAToken(t *testing.T) {
	base := answers(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && r.URL.Path == "/latest/api/token" {
			_, _ = io.WriteString(w, "TOKEN")
			return
		}
		if r.Header.Get("X-aws-ec2-metadata-token") != "TOKEN" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		switch strings.TrimPrefix(r.URL.Path, "/latest/meta-data/") {
		case "instance-type":
			_, _ = io.WriteString(w, "m7g.large")
		case "placement/availability-zone":
			_, _ = io.WriteString(w, "eu-west-1a")
		case "instance-id":
			_, _ = io.WriteString(w, "i-123\n")
		default:
			http.NotFound(w, r)
		}
	})
	found, err := Look(t.Context(), Options{Root: machine(t, map[string]string{"sys_vendor": "Amazon EC2"}), Base: base})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"platform.aws.instance-type": "m7g.large", "platform.aws.placement.availability-zone": "eu-west-1a", "unique.platform.aws.instance-id": "i-123",
	}
	same(t, found.Attributes, want)
	if found.Links["aws.ec2"] != "eu-west-1a.i-123" {
		t.Errorf("links are %v", found.Links)
	}
}

func TestGoogleTellsTagsAttributesAndNetworks(t *testing.T) {
	base := answers(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Metadata-Flavor") != "Google" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, `{"hostname":"h.internal","id":4711,"cpuPlatform":"Intel Haswell","machineType":"projects/1/machineTypes/n1-standard-1",
			"zone":"projects/1/zones/us-central1-f","scheduling":{"automaticRestart":"TRUE","onHostMaintenance":"MIGRATE"},"tags":["web","unique.me"],
			"attributes":{"ghi":"111","unique.jkl":"222","startup-script":"#!/bin/sh\nexit 0"},
			"networkInterfaces":[{"network":"projects/1/networks/default","ip":"10.240.0.5","accessConfigs":[{"externalIp":"104.44.55.66"}]}]}`)
	})
	found, err := Look(t.Context(), Options{Root: machine(t, map[string]string{"product_name": "Google Compute Engine"}), Base: base})
	if err != nil {
		t.Fatal(err)
	}
	same(t, found.Attributes, map[string]string{
		"platform.gce.machine-type": "n1-standard-1", "platform.gce.zone": "us-central1-f", "platform.gce.cpu-platform": "Intel Haswell",
		"platform.gce.scheduling.automatic-restart": "TRUE", "platform.gce.scheduling.on-host-maintenance": "MIGRATE",
		"unique.platform.gce.hostname": "h.internal", "unique.platform.gce.id": "4711",
		"platform.gce.tag.web": "true", "unique.platform.gce.tag.me": "true", "platform.gce.attr.ghi": "111", "unique.platform.gce.attr.jkl": "222",
		"platform.gce.network.default": "true", "unique.platform.gce.network.default.ip": "10.240.0.5",
		"unique.platform.gce.network.default.external-ip.0": "104.44.55.66",
	})
}

func TestAzureAndDigitalOceanTell(t *testing.T) {
	base := answers(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/metadata/instance" && r.Header.Get("Metadata") == "true":
			_, _ = io.WriteString(w, `{"compute":{"name":"vm0","location":"westeurope","vmSize":"Standard_D2","vmId":"abc","resourceGroupName":"rg",
				"vmScaleSetName":"set","tagsList":[{"name":"Env","value":"test"}]},
				"network":{"interface":[{"macAddress":"000D3A","ipv4":{"ipAddress":[{"privateIpAddress":"10.0.0.4","publicIpAddress":""}]}}]}}`)
		case r.URL.Path == "/metadata/v1.json":
			_, _ = io.WriteString(w, `{"droplet_id":13,"hostname":"d","region":"fra1","interfaces":{"public":[{"ipv4":{"ip_address":"203.0.113.9"},"mac":"aa"}],
				"private":[{"ipv4":{"ip_address":"10.1.2.3"}}]}}`)
		default:
			http.Error(w, "no", http.StatusBadRequest)
		}
	})
	found, err := Look(t.Context(), Options{Root: machine(t, map[string]string{"chassis_asset_tag": azureAsset}), Base: base})
	if err != nil {
		t.Fatal(err)
	}
	same(t, found.Attributes, map[string]string{
		"platform.azure.location": "westeurope", "platform.azure.vm-size": "Standard_D2", "platform.azure.resource-group": "rg",
		"platform.azure.scale-set": "set", "platform.azure.tag.Env": "test", "unique.platform.azure.name": "vm0", "unique.platform.azure.id": "abc",
		"unique.platform.azure.mac": "000D3A", "unique.platform.azure.local-ipv4": "10.0.0.4",
	})
	found, err = Look(t.Context(), Options{Root: machine(t, map[string]string{"sys_vendor": "DigitalOcean"}), Base: base})
	if err != nil {
		t.Fatal(err)
	}
	same(t, found.Attributes, map[string]string{
		"platform.digitalocean.region": "fra1", "unique.platform.digitalocean.id": "13", "unique.platform.digitalocean.hostname": "d",
		"unique.platform.digitalocean.public-ipv4": "203.0.113.9", "unique.platform.digitalocean.mac": "aa", "unique.platform.digitalocean.private-ipv4": "10.1.2.3",
	})
}

func TestNobodyIsAskedWhereTheFirmwareNamesNoCloud(t *testing.T) {
	base := answers(t, func(http.ResponseWriter, *http.Request) { t.Error("somebody is asked") })
	for _, files := range []map[string]string{nil, {"sys_vendor": "QEMU", "product_name": "Standard PC"}} {
		found, err := Look(t.Context(), Options{Root: machine(t, files), Base: base})
		if err != nil || len(found.Attributes) != 0 {
			t.Errorf("%v, %v", found, err)
		}
	}
	denied := func(name string) bool { return name != "env_aws" }
	found, err := Look(t.Context(), Options{Root: machine(t, map[string]string{"sys_vendor": "Amazon EC2"}), Base: base, Wants: denied})
	if err != nil || len(found.Attributes) != 0 {
		t.Errorf("%v, %v", found, err)
	}
}

func TestACloudThatStallsCostsASecond(t *testing.T) {
	over, release := context.WithCancel(context.Background())
	defer release()
	base := answers(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-over.Done():
		case <-r.Context().Done():
		}
	})
	began := time.Now()
	found, err := Look(t.Context(), Options{Root: machine(t, map[string]string{"sys_vendor": "Amazon EC2"}), Base: base})
	if err == nil || len(found.Attributes) != 0 {
		t.Errorf("%v, %v", found, err)
	}
	if took := time.Since(began); took > 3*Patience {
		t.Errorf("it took %v", took)
	}
}

func TestWhatACloudTellsIsBounded(t *testing.T) {
	long := strings.Repeat("x", maxValue+1)
	cases := map[string]http.HandlerFunc{
		"endless": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, maxAnswer+1)) },
		"elsewhere": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		},
		"broken": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"id":`) },
	}
	root := machine(t, map[string]string{"sys_vendor": "DigitalOcean"})
	for name, f := range cases {
		if found, err := Look(t.Context(), Options{Root: root, Base: answers(t, f)}); err == nil || len(found.Attributes) != 0 {
			t.Errorf("%s: %v, %v", name, found, err)
		}
	}
	found, err := Look(t.Context(), Options{Root: root, Base: answers(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"region":"`+long+`","hostname":"a\u0000b"}`)
	})})
	if err != nil || len(found.Attributes) != 0 {
		t.Errorf("%v, %v", found, err)
	}
}

func same(t *testing.T, got, want map[string]string) {
	t.Helper()
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s is %q, want %q", key, got[key], value)
		}
	}
	for key := range got {
		if _, known := want[key]; !known {
			t.Errorf("%s = %q is too much", key, got[key])
		}
	}
}
