package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/steppe-run/steppe/drivers"
	pb "github.com/steppe-run/steppe/drivers/plugin/wire/driver"
	"github.com/steppe-run/steppe/drivers/plugin/wire/hclspec"
	"github.com/steppe-run/steppe/structs"
)

// throughWire encodes and decodes, as the wire does.
func throughWire[M proto.Message](t testing.TB, in, out M) M {
	t.Helper()
	data, err := proto.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(data, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestHandleRoundTrip(t *testing.T) {
	mbits := 5
	want := &drivers.Handle{Version: 3, State: drivers.TaskRunning, DriverState: []byte{1, 2}, Config: &drivers.TaskConfig{
		ID: "a/web/1", Name: "web", AllocID: "a", TaskGroup: "g", JobID: "j", JobName: "jn", ParentJobID: "p", Namespace: "ns",
		NodeID: "n", NodeName: "nn", Config: []byte{0x80}, Env: map[string]string{"A": "b"}, DeviceEnv: map[string]string{"D": "e"},
		User: "u", AllocDir: "/a", StdoutPath: "/o", StderrPath: "/e",
		Resources: &drivers.Resources{
			Allocated: structs.AllocatedTaskResources{
				Cpu: structs.AllocatedCpuResources{CpuShares: 100}, Memory: structs.AllocatedMemoryResources{MemoryMB: 10, MemoryMaxMB: 20},
				Networks: []*structs.NetworkResource{{
					Device: "eth0", CIDR: "10.0.0.0/8", IP: "10.0.0.1", MBits: &mbits,
					ReservedPorts: []structs.Port{{Label: "ssh", Value: 22}}, DynamicPorts: []structs.Port{{Label: "http", Value: 20000}},
				}},
			},
			Linux: drivers.LinuxResources{CPUPeriod: 1, CPUQuota: 2, CPUShares: 3, MemoryLimitBytes: 4, OOMScoreAdj: 5, CpusetCPUs: "0,1", CpusetCgroup: "/c", PercentTicks: 0.5},
			Ports: []structs.PortMapping{{Label: "http", Value: 20000, To: 80, HostIP: "1.2.3.4"}},
		},
		Mounts:  []drivers.Mount{{TaskPath: "/t", HostPath: "/h", ReadOnly: true, PropagationMode: "private", SELinuxLabel: "z", RequestName: "v"}},
		Devices: []drivers.Device{{TaskPath: "/dev/t", HostPath: "/dev/h", Permissions: "rw"}},
		Network: &drivers.NetworkIsolation{Mode: drivers.NetworkGroup, Path: "/ns", Labels: map[string]string{"l": "m"}, Hosts: &drivers.HostsConfig{Hostname: "h", Address: "1.1.1.1"}},
		DNS:     &structs.DNSConfig{Servers: []string{"8.8.8.8"}, Searches: []string{"s"}, Options: []string{"o"}},
		Logs:    &drivers.LogPolicy{MaxFiles: 3, MaxFileSizeMB: 4, Disabled: true},
	}}
	got := handleFromWire(throughWire(t, handleToWire(want), &pb.TaskHandle{}))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a handle changes on the wire (-want +got):\n%s", diff)
	}
}

func TestSmallMessagesRoundTrip(t *testing.T) {
	caps := &drivers.Capabilities{
		SendSignals: true, Exec: true, FSIsolation: drivers.FSUnveil, NetworkModes: []drivers.NetworkMode{drivers.NetworkTask, drivers.NetworkNone},
		MustCreateNetwork: true, NoMounts: true, DisableLogCollection: true, DynamicUsers: true,
	}
	if diff := cmp.Diff(caps, capabilitiesFromWire(throughWire(t, capabilitiesToWire(caps), &pb.DriverCapabilities{}))); diff != "" {
		t.Errorf("capabilities:\n%s", diff)
	}
	fp := &drivers.Fingerprint{Attributes: map[string]string{"a": "b"}, Health: drivers.HealthUnhealthy, Description: "d", Err: "e"}
	if diff := cmp.Diff(fp, fingerprintFromWire(throughWire(t, fingerprintToWire(fp), &pb.FingerprintResponse{}))); diff != "" {
		t.Errorf("fingerprint:\n%s", diff)
	}
	now := time.Unix(1700000000, 123456789).UTC()
	for _, st := range []*drivers.TaskStatus{
		{ID: "i", Name: "n", State: drivers.TaskRunning, StartedAt: now, Attributes: map[string]string{"pid": "1"}},
		{ID: "i", Name: "n", State: drivers.TaskExited, StartedAt: now, CompletedAt: now.Add(time.Second), Exit: &drivers.ExitResult{ExitCode: 137, Signal: 9, OOMKilled: true}, Network: &drivers.Network{PortMap: map[string]int{"http": 80}, Addr: "1.1.1.1", AutoAdvertise: true}},
	} {
		if diff := cmp.Diff(st, statusFromWire(throughWire(t, statusToWire(st), &pb.InspectTaskResponse{}))); diff != "" {
			t.Errorf("status:\n%s", diff)
		}
	}
	usage := &structs.TaskResourceUsage{
		Timestamp: now.UnixNano(),
		ResourceUsage: &structs.ResourceUsage{
			CpuStats:    &structs.CpuStats{SystemMode: 1, UserMode: 2, TotalTicks: 3, ThrottledPeriods: 4, ThrottledTime: 5, Percent: 6, Measured: []string{"Percent", "Throttled Time"}},
			MemoryStats: &structs.MemoryStats{RSS: 1, Cache: 2, Swap: 3, Usage: 4, MaxUsage: 5, KernelUsage: 6, KernelMaxUsage: 7, Measured: []string{"RSS", "Kernel Max Usage"}},
		},
	}
	usage.Pids = map[string]*structs.ResourceUsage{"12": usage.ResourceUsage}
	if diff := cmp.Diff(usage, usageFromWire(throughWire(t, usageToWire("i", usage), &pb.TaskStats{}))); diff != "" {
		t.Errorf("usage:\n%s", diff)
	}
	event := &drivers.Event{TaskID: "i", AllocID: "a", TaskName: "n", Time: now, Message: "m", Annotations: map[string]string{"k": "v"}}
	if diff := cmp.Diff(event, eventFromWire(throughWire(t, eventToWire(event), &pb.DriverTaskEvent{}))); diff != "" {
		t.Errorf("event:\n%s", diff)
	}
}

// specs draws schemas of any shape.
func specs(depth int) *rapid.Generator[*drivers.Spec] {
	return rapid.Custom(func(t *rapid.T) *drivers.Spec {
		kinds := []drivers.SpecKind{drivers.SpecAttr, drivers.SpecLiteral, drivers.SpecBlockAttrs}
		if depth > 0 {
			kinds = append(kinds, drivers.SpecObject, drivers.SpecArray, drivers.SpecBlock, drivers.SpecBlockList, drivers.SpecBlockSet, drivers.SpecBlockMap, drivers.SpecDefault)
		}
		s := &drivers.Spec{Kind: rapid.SampledFrom(kinds).Draw(t, "kind")}
		word := rapid.StringMatching(`[a-z]{1,5}`)
		nested := func() *drivers.Spec { return specs(depth-1).Draw(t, "nested") }
		switch s.Kind {
		case drivers.SpecObject:
			s.Fields = rapid.MapOfN(word, specs(depth-1), 0, 3).Draw(t, "fields")
		case drivers.SpecArray:
			s.Items = rapid.SliceOfN(specs(depth-1), 0, 3).Draw(t, "items")
		case drivers.SpecLiteral:
			s.Value = word.Draw(t, "value")
		case drivers.SpecDefault:
			s.Nested, s.Fallback = nested(), nested()
		case drivers.SpecAttr, drivers.SpecBlockAttrs:
			s.Name, s.Type, s.Required = word.Draw(t, "name"), word.Draw(t, "type"), rapid.Bool().Draw(t, "required")
		case drivers.SpecBlock:
			s.Name, s.Required, s.Nested = word.Draw(t, "name"), rapid.Bool().Draw(t, "required"), nested()
		case drivers.SpecBlockMap:
			s.Name, s.Labels, s.Nested = word.Draw(t, "name"), rapid.SliceOfN(word, 1, 2).Draw(t, "labels"), nested()
		default:
			s.Name, s.Nested = word.Draw(t, "name"), nested()
			s.MinItems, s.MaxItems = rapid.Uint64().Draw(t, "min"), rapid.Uint64().Draw(t, "max")
		}
		return s
	})
}

func TestSpecRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		want := specs(3).Draw(rt, "spec")
		data, err := proto.Marshal(specToWire(want))
		if err != nil {
			rt.Fatal(err)
		}
		var message hclspec.Spec
		if err := proto.Unmarshal(data, &message); err != nil {
			rt.Fatal(err)
		}
		got := specFromWire(&message)
		if dump(want) != dump(got) {
			rt.Fatalf("a schema changes on the wire:\n%s\n%s", dump(want), dump(got))
		}
	})
	if specFromWire(nil) != nil || specFromWire(&hclspec.Spec{}) != nil {
		t.Error("a schema without content isn't none")
	}
}

// dump writes a schema so that empty and absent lists look alike.
func dump(s *drivers.Spec) string {
	if s == nil {
		return "nil"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %q %q %v %d %d %q %q {%s} {%s} [", s.Kind, s.Name, s.Type, s.Required, s.MinItems, s.MaxItems, s.Labels, s.Value, dump(s.Nested), dump(s.Fallback))
	for _, i := range s.Items {
		b.WriteString(dump(i) + ";")
	}
	parts := map[string]string{}
	for k, f := range s.Fields {
		parts[k] = dump(f)
	}
	fmt.Fprintf(&b, "] %v", parts)
	return b.String()
}

func TestErrorsKeepTheirMeaning(t *testing.T) {
	ctx := t.Context()
	for _, tc := range []struct {
		err  error
		is   error
		text string
	}{
		{drivers.ErrTaskNotFound, drivers.ErrTaskNotFound, drivers.ErrTaskNotFound.Error()},
		{fmt.Errorf("stop: %w", drivers.ErrTaskNotFound), drivers.ErrTaskNotFound, "stop: task not found for given id"},
		{drivers.ErrUnsupported, drivers.ErrUnsupported, drivers.ErrUnsupported.Error()},
		{errors.New("plain"), nil, "plain"},
	} {
		got := fromStatus(ctx, toStatus(tc.err))
		if got.Error() != tc.text || tc.is != nil && !errors.Is(got, tc.is) {
			t.Errorf("%v arrives as %v", tc.err, got)
		}
	}
	if got := fromStatus(ctx, toStatus(drivers.Recoverable(errors.New("busy")))); !drivers.IsRecoverable(got) || got.Error() != "busy" {
		t.Errorf("a recoverable error arrives as %v", got)
	}
	if fromStatus(ctx, toStatus(nil)) != nil {
		t.Error("no error arrives as one")
	}
	for _, code := range []codes.Code{codes.Unavailable, codes.Canceled} {
		if got := fromStatus(ctx, status.Error(code, "gone")); !errors.Is(got, drivers.ErrPluginGone) {
			t.Errorf("%s means %v", code, got)
		}
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if got := fromStatus(ended, status.Error(codes.Canceled, "gone")); !errors.Is(got, context.Canceled) {
		t.Errorf("our own cancellation means %v", got)
	}
}
