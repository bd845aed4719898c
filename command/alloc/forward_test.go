package alloc

import "testing"

func TestPortsToForwardAreRead(t *testing.T) {
	for text, want := range map[string][2]string{"8080": {"8080", "8080"}, "http": {"0", "http"}, "9000:http": {"9000", "http"}, "9000:80": {"9000", "80"}, "0:80": {"0", "80"}} {
		if local, port, err := splitPorts(text); err != nil || local != want[0] || port != want[1] {
			t.Errorf("%q: %q, %q, %v", text, local, port, err)
		}
	}
	for _, text := range []string{"", ":", ":80", "9000:", "x:80", "70000:80", "-1:80"} {
		if local, port, err := splitPorts(text); err == nil {
			t.Errorf("%q is taken for %q, %q", text, local, port)
		}
	}
}
