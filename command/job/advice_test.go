package job

import (
	"strings"
	"testing"

	"github.com/steppe-run/steppe/structs"
)

func TestDriverAdvice(t *testing.T) {
	nodes := []*structs.NodeListStub{
		{Drivers: map[string]*structs.DriverInfo{"raw_exec": {Detected: true}, "java": {}}},
		{Drivers: map[string]*structs.DriverInfo{"raw_exec": {Detected: true}, "docker": {Detected: true}}},
	}
	for driver, want := range map[string]string{
		"raw_exec": "", "docker": "", "": "",
		"rawexec":  `task "t": no node has the driver "rawexec": did you mean "raw_exec"?`,
		"raw-exec": `task "t": no node has the driver "raw-exec": did you mean "raw_exec"?`,
		"exec":     `task "t": no node has the driver "exec": did you mean "raw_exec"?`,
		"dokcer":   `task "t": no node has the driver "dokcer": did you mean "docker"?`,
		"java":     `task "t": no node has the driver "java"; there are: docker, raw_exec`,
	} {
		job := &structs.Job{TaskGroups: []*structs.TaskGroup{{Tasks: []*structs.Task{{Name: "t", Driver: driver}}}}}
		if got := strings.Join(driverAdvice(job, driversOf(nodes)), "\n"); got != want {
			t.Errorf("advice for %q:\n got %s\nwant %s", driver, got, want)
		}
		if got := driverAdvice(job, nil); got != nil {
			t.Errorf("advice without nodes: %v", got)
		}
	}
}
