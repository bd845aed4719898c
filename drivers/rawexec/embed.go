//go:build linux && embedsupervisor

package rawexec

import _ "embed" // for the supervisor's program

//go:embed supervisor.bin
var supervisorImage []byte
