//go:build linux

// Package keeper is the inside of the supervisor: a process that owns one
// task's process. It writes the task's rotated log files and its exit status,
// answers on a socket, and leaves no process of the task behind. It goes on
// while the agent and the driver plugin are away, and ends with its task.
//
// It must not know drivers, plugins or the agent, and imports nothing but the
// standard library, x/sys and our smallest tools: one of it runs for every
// task, so it must stay small. Begin reading at Main, then protocol.go.
package keeper
