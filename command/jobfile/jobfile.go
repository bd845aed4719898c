// Package jobfile reads the job file that a verb is given: from a path, a URL or
// the standard input, in HCL or JSON, with its variables.
//
// It must not know what is then done with the job. Begin reading at Read.
package jobfile

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/mitchellh/go-homedir"
	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/jobspec"
	"github.com/steppe-run/steppe/structs"
)

// maxSourceBytes bounds a job file.
const maxSourceBytes = 10 << 20

// Flags are the flags of verbs that read a job file.
func Flags() []cli.Flag {
	return append([]cli.Flag{&cli.BoolFlag{Name: jsonFlag, Usage: "the file is JSON"}}, VarFlags()...)
}

const jsonFlag = "json"

// VarFlags are those of Flags that say how to read an HCL file.
func VarFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "hcl2-strict", Usage: "variables that the file doesn't know are an error", Value: true},
		&cli.StringSliceFlag{Name: "var", Usage: "`name=value` of a variable (repeatable)"},
		&cli.StringSliceFlag{Name: "var-file", Usage: "`file` with variables (repeatable)"},
		&cli.StringFlag{Name: "vault-namespace", Usage: "`name` of the namespace in Vault, kept with the job"},
		&cli.StringFlag{Name: "consul-namespace", Usage: "`name` of the namespace in Consul, kept with the job"},
	}
}

// Source is a job file that was read.
type Source struct {
	// Job is what the file says.
	Job *structs.Job
	// Path is how the file was named.
	Path string

	text     string
	format   string
	vars     map[string]string
	varText  string // the variable files' text
	varFiles []jobspec.File
	faults   jobspec.Diagnostics // where the job breaks a rule
}

// Read reads and parses a job file; "-" is the standard input, a URL is
// fetched. One whose name ends in .json is JSON; asJSON says it of any.
func Read(ctx context.Context, c *connect.Call, path string, asJSON bool) (*Source, error) {
	src := &Source{Path: path, format: "hcl2", vars: map[string]string{}}
	read := func() (string, error) { return Text(c, src.Path) }
	if isURL(src.Path) {
		read = func() (string, error) { return fetch(ctx, src.Path) }
	}
	text, err := read()
	if err != nil {
		return nil, term.Fail("Error getting job struct: %v", err)
	}
	src.text = text
	if err := src.readVars(c); err != nil {
		return nil, err
	}
	if asJSON || strings.HasSuffix(src.Path, ".json") {
		src.format = "json"
	}
	return src, src.parse(c)
}

// Text reads a file that a verb is given as it is; "-" is the standard input.
func Text(c *connect.Call, path string) (string, error) {
	in := c.In
	if path != "-" {
		expanded, err := homedir.Expand(path)
		if err != nil {
			return "", fmt.Errorf("expand %s: %w", path, err)
		}
		f, err := os.Open(expanded)
		if err != nil {
			return "", err
		}
		defer func() { _ = f.Close() }() // only read
		in = f
	}
	return readBounded(in, path)
}

func (src *Source) readVars(c *connect.Call) error {
	for _, pair := range c.StringSlice("var") {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return term.Fail("Error getting job struct: -var %q is not name=value", pair)
		}
		src.vars[name] = value
	}
	for _, path := range c.StringSlice("var-file") {
		text, err := Text(c, path)
		if err != nil {
			return term.Fail("Error getting job struct: %v", err)
		}
		src.varFiles = append(src.varFiles, jobspec.File{Name: path, Source: []byte(text)})
		src.varText += text + "\n"
	}
	return nil
}

func (src *Source) parse(c *connect.Call) error {
	job, diags := src.read(c)
	var text strings.Builder
	if err := diags.Render(&text, c.Colour()); err != nil {
		return term.Fail("Error getting job struct: %v", err)
	}
	if diags.HasErrors() {
		return term.Fail("Error getting job struct: the job file has faults:\n\n%s", strings.TrimRight(text.String(), "\n"))
	}
	c.Errorf("%s", text.String())
	if src.faults.HasErrors() {
		text.Reset()
		if err := src.faults.Render(&text, c.Colour()); err != nil {
			return term.Fail("Job validation errors: %v", err)
		}
		return term.Fail("Job validation errors:\n\n%s", strings.TrimRight(text.String(), "\n"))
	}
	src.Job = job
	src.setNamespaces(c)
	return nil
}

// setNamespaces puts the namespaces of other systems into the job: flags win.
func (src *Source) setNamespaces(c *connect.Call) {
	for flag, into := range map[string]**string{"vault-namespace": &src.Job.VaultNamespace, "consul-namespace": &src.Job.ConsulNamespace} {
		if c.IsSet(flag) {
			value := c.String(flag)
			*into = &value
		}
	}
}

// read parses the file and, for a job that is to be submitted, says where it
// breaks a rule. Of a job in JSON the servers say so: its text has no places.
func (src *Source) read(c *connect.Call) (*structs.Job, jobspec.Diagnostics) {
	if src.format == "json" {
		return jobspec.ParseJSON(src.name(), []byte(src.text))
	}
	in := jobspec.Input{
		Filename: src.name(), Source: []byte(src.text), Vars: src.vars, VarFiles: src.varFiles, Env: c.Environ(),
		AllowFS: true, Strict: c.Bool("hcl2-strict"),
	}
	job, diags := jobspec.Parse(in)
	if job != nil && !c.Bool("output") {
		src.faults = jobspec.Check(in, job).Errors() // the servers tell of warnings
	}
	return job, diags
}

func (src *Source) name() string {
	if src.Path == "-" {
		return "<stdin>"
	}
	return filepath.Base(src.Path)
}

// Query asks in the job's own region and namespace.
func (src *Source) Query() *api.Query {
	return &api.Query{Region: structs.Value(src.Job.Region), Namespace: structs.Value(src.Job.Namespace)}
}

// Submission is the file as it is kept with the job.
func (src *Source) Submission() *structs.JobSubmission {
	return &structs.JobSubmission{Source: src.text, Format: src.format, VariableFlags: src.vars, Variables: src.varText}
}

// VarFlags repeats the variables for a command to be copied.
func (src *Source) VarFlags() string {
	var b strings.Builder
	for name, value := range src.vars {
		fmt.Fprintf(&b, " -var=%q", name+"="+value)
	}
	for _, file := range src.varFiles {
		fmt.Fprintf(&b, " -var-file=%q", file.Name)
	}
	return b.String()
}
