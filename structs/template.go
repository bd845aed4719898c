package structs

import "time"

type Template struct {
	SourcePath    *string
	DestPath      *string
	EmbeddedTmpl  *string
	ChangeMode    *string
	ChangeScript  *ChangeScript
	ChangeSignal  *string
	Once          *bool
	Splay         *time.Duration
	Perms         *string
	Uid           *int
	Gid           *int
	LeftDelim     *string
	RightDelim    *string
	Envvars       *bool
	VaultGrace    *time.Duration
	Wait          *WaitConfig
	ErrMissingKey *bool
}

type ChangeScript struct {
	Command          *string
	Args             []string
	Timeout          *time.Duration
	FailOnError      *bool
	RunOnFirstRender *bool
}

type WaitConfig struct {
	Min *time.Duration
	Max *time.Duration
}
