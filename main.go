// Command steppe is a job and service scheduler: server, node agent and
// command line in one binary. It must not know what the words of a command line
// mean. Begin reading at command.Main.
package main

import (
	"context"
	"os"

	"github.com/steppe-run/steppe/command"
	"github.com/steppe-run/steppe/command/term"
)

func main() {
	os.Exit(command.Main(context.Background(), os.Args, term.System()))
}
