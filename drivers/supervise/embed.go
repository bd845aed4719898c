//go:build linux && embedsupervisor

package supervise

import _ "embed" // for the supervisor's program

//go:embed supervisor.bin
var supervisorImage []byte
