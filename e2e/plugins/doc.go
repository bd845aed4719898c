// Package plugins is a module of its own: a driver written against nothing but
// the tables of the plugin protocol (field numbers, the handshake's bytes), the
// way somebody would who has never seen the agent's code. Given an argument it
// misbehaves instead, in one of the ways that an agent must bear.
//
// It must not import anything of the agent's, nor the library that the agent
// speaks the protocol with. Begin reading at sample/main.go.
package plugins
