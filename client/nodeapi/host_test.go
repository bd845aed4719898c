package nodeapi

import (
	"testing"

	"github.com/steppe-run/steppe/structs"
)

func TestTicksAreTheBusyShareOfTheNode(t *testing.T) {
	cores := []*structs.HostCPUStats{{Idle: 100}, {Idle: 0}, {Idle: 50}, {Idle: 50}}
	if got := ticks(cores, 8000); got != 4000 {
		t.Errorf("half of 8000 MHz is busy, told %v", got)
	}
	if got := ticks(nil, 8000); got != 0 {
		t.Errorf("nothing measured, told %v", got)
	}
}
