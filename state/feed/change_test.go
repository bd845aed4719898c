package feed

import "testing"

func TestEveryKindOfEventHasATopic(t *testing.T) {
	for kind, names := range eventNames {
		if names.topic == "" {
			t.Errorf("event kind %d has no topic", kind)
		}
	}
	if n := len(eventNames); n != int(ServiceDeregistration)+1 {
		t.Errorf("%d kinds have names", n)
	}
}
