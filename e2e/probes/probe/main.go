//go:build linux

// Command probe tries to get out of the sandbox that it runs in, and prints for
// each try whether it was allowed. It is static and uses no library of C, so
// that a failure is the kernel's answer and nothing else.
//
// It must not be run outside of a sandbox: as root it would succeed. Begin
// reading at main.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// probe is one try; nil says that it was allowed.
type probe struct {
	name string
	try  func() error
}

var errRefused = errors.New("refused")

func main() {
	if os.Getenv("PROBE") != "sandbox" {
		fmt.Println("to be run in a sandbox only")
		os.Exit(2)
	}
	only := strings.Fields(strings.Join(os.Args[1:], " "))
	for _, p := range append(append(mounts(), processes()...), rest()...) {
		if len(only) > 0 && !contains(only, strings.Fields(p.name)[0]) {
			continue
		}
		verdict := "denied"
		if p.try() == nil {
			verdict = "ALLOWED"
		}
		fmt.Printf("%s: %s\n", verdict, p.name)
	}
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one {
			return true
		}
	}
	return false
}

// anyOf is allowed if one of the tries is.
func anyOf(tries ...func() error) func() error {
	return func() error {
		for _, try := range tries {
			if try() == nil {
				return nil
			}
		}
		return errRefused
	}
}

// write tries to write to a file that exists.
func write(path, text string) func() error {
	return func() error {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString(text)
		return errors.Join(err, f.Close())
	}
}

// read is allowed if there is something in the file.
func read(path string) func() error {
	return func() error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		n, err := f.Read(make([]byte, 16))
		if n > 0 {
			return nil
		}
		return errors.Join(errRefused, err)
	}
}
