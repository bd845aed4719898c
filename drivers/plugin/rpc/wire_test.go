package rpc

import (
	"fmt"
	"os"
	"sort"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/steppe-run/steppe/drivers/plugin/wire/base"
	"github.com/steppe-run/steppe/drivers/plugin/wire/driver"
	"github.com/steppe-run/steppe/drivers/plugin/wire/hclspec"
	"github.com/steppe-run/steppe/drivers/plugin/wire/shared"
)

// TestWireNeverChanges compares every message, field number and type with the
// recorded ones: third parties' plugins are built against them.
func TestWireNeverChanges(t *testing.T) {
	const golden = "testdata/wire.txt"
	var lines []string
	for _, file := range []protoreflect.FileDescriptor{
		base.File_plugins_base_proto_base_proto, driver.File_plugins_drivers_proto_driver_proto,
		hclspec.File_plugins_shared_hclspec_hcl_spec_proto,
		shared.File_plugins_shared_structs_proto_attribute_proto, shared.File_plugins_shared_structs_proto_recoverable_error_proto,
	} {
		for i := range file.Services().Len() {
			lines = append(lines, describeService(file.Services().Get(i))...)
		}
		lines = append(lines, describeMessages(file.Messages())...)
		lines = append(lines, describeEnums(file.Enums())...)
	}
	sort.Strings(lines)
	got := strings.Join(lines, "\n") + "\n"
	if os.Getenv("STEPPE_REWRITE") != "" {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the wire differs from %s; a plugin of the field would no longer understand us", golden)
	}
}

func describeService(s protoreflect.ServiceDescriptor) []string {
	var out []string
	for i := range s.Methods().Len() {
		m := s.Methods().Get(i)
		out = append(out, fmt.Sprintf("rpc /%s/%s (stream %v %s) returns (stream %v %s)", s.FullName(), m.Name(), m.IsStreamingClient(), m.Input().FullName(), m.IsStreamingServer(), m.Output().FullName()))
	}
	return out
}

func describeMessages(messages protoreflect.MessageDescriptors) []string {
	var out []string
	for i := range messages.Len() {
		m := messages.Get(i)
		out = append(out, fmt.Sprintf("message %s", m.FullName()))
		for j := range m.Fields().Len() {
			f := m.Fields().Get(j)
			kind := f.Kind().String()
			switch {
			case f.IsMap():
				kind = "map"
			case f.Message() != nil:
				kind = string(f.Message().FullName())
			case f.Enum() != nil:
				kind = string(f.Enum().FullName())
			}
			out = append(out, fmt.Sprintf("field %s = %d %s %s", f.FullName(), f.Number(), f.Cardinality(), kind))
		}
		out = append(out, describeMessages(m.Messages())...)
		out = append(out, describeEnums(m.Enums())...)
	}
	return out
}

func describeEnums(enums protoreflect.EnumDescriptors) []string {
	var out []string
	for i := range enums.Len() {
		e := enums.Get(i)
		for j := range e.Values().Len() {
			v := e.Values().Get(j)
			out = append(out, fmt.Sprintf("enum %s.%s = %d", e.FullName(), v.Name(), v.Number()))
		}
	}
	return out
}
