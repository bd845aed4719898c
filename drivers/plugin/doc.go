// Package plugin runs drivers as subprocesses that speak the public plugin
// protocol. Serve is the subprocess' side; Host is the agent's: it finds and
// launches plugins, takes their logs, launches them again when they die, has
// them recover their tasks, and ends what an earlier agent left running.
//
// It must not know what a driver does with a task, nor who asks. Begin
// reading at Host, then instance.
package plugin
