package structs

import "time"

// Template is rendered into the task directory.
type Template struct {
	SourcePath    *string        `change:"replace"` // path; source or data required; sandboxed to alloc dir
	DestPath      *string        `change:"replace"` // path; required; inside task dir; unique
	EmbeddedTmpl  *string        `change:"replace"` // consul-template text
	ChangeMode    *string        `change:"replace"` // default restart; noop restart signal script
	ChangeScript  *ChangeScript  `change:"replace"` // required with mode script
	ChangeSignal  *string        `change:"replace"` // default SIGHUP when mode signal; signal; required with signal; not with env=true
	Once          *bool          `change:"replace"` // render once then stop watching
	Splay         *time.Duration `change:"replace"` // default 5s; >=0
	Perms         *string        `change:"replace"` // default 0644; octal string
	Uid           *int           `change:"replace"` // default -1/unset; int
	Gid           *int           `change:"replace"` // default -1/unset; int
	LeftDelim     *string        `change:"replace"` // default {{
	RightDelim    *string        `change:"replace"` // default }}
	Envvars       *bool          `change:"replace"` // file parsed as key=value into env
	VaultGrace    *time.Duration `change:"ignore"`  // default 0; deprecated
	Wait          *WaitConfig    `change:"replace"` // default client template.wait (5s..4m)
	ErrMissingKey *bool          `change:"replace"`
}

// ChangeScript runs in the task when a template changed.
type ChangeScript struct {
	Command          *string        `change:"replace"` // path in task; required
	Args             []string       `change:"replace"`
	Timeout          *time.Duration `change:"replace"` // default 5s
	FailOnError      *bool          `change:"replace"` // required; kill task on failure
	RunOnFirstRender *bool          `change:"replace"` // also run after first render (poststart)
}

// WaitConfig is how long a template waits for its data to settle.
type WaitConfig struct {
	Min *time.Duration `change:"replace"` // required; <= max
	Max *time.Duration `change:"replace"` // required
}
