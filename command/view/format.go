package view

import (
	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/command/term"
)

// FormatFlags are the flags of a verb that can also answer programs.
func FormatFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "json", Usage: "answer as JSON"},
		&cli.StringFlag{Name: "t", Usage: "answer through a Go `template`"},
	}
}

// Formatted writes value as JSON or through a template if the flags ask for
// it, and reports whether it did.
func Formatted(cmd *cli.Command, s term.Streams, value any) (bool, error) {
	asJSON, text := cmd.Bool("json"), cmd.String("t")
	switch {
	case asJSON && text != "":
		return true, term.Fail("Both -json and -t were given: choose one")
	case asJSON:
		return true, JSON(s.Out, value)
	case text != "":
		return true, Template(s.Out, text, value)
	}
	return false, nil
}
