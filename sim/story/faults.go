package story

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/steppe-run/steppe/sim/node"
	"github.com/steppe-run/steppe/sim/server"
	"github.com/steppe-run/steppe/sim/wire"
)

// faultVerbs are what happens to machines, networks and tasks.
func faultVerbs() []verb {
	return slices.Concat(machineVerbs(), networkVerbs(), taskVerbs())
}

func machineVerbs() []verb {
	return []verb{
		{form: "leader moves", do: func(p *Play, _ []string) error {
			p.result.Faults["leader moves"]++
			if !p.cluster.Region().Transfer() {
				return errors.New("no other server could lead")
			}
			return nil
		}},
		{form: "NAME dies", do: onMachine("dies", (*server.Server).Crash, (*node.Node).Die)},
		{form: "NAME dies in N entries", do: doDoom, check: numberAt(1)},
		{form: "NAME returns", do: doReturn(false)},
		{form: "NAME returns empty", do: doReturn(true)},
		{form: "NAME freezes", do: onMachine("freezes", func(s *server.Server) {
			if m := s.Machine(); m != nil {
				m.Freeze()
			}
		}, func(n *node.Node) {
			if m := n.Machine(); m != nil {
				m.Freeze()
			}
		})},
		{form: "NAME thaws", do: onMachine("", thawServer, thawNode)},
		{form: "NAME takes a snapshot", do: func(p *Play, args []string) error {
			s, err := p.server(args[0])
			if err != nil || s.Machine() == nil {
				return err
			}
			return s.Snapshot()
		}},
		{form: "clock of NAME is TIME ahead", do: func(p *Play, args []string) error { return p.setClock(args, 1) }, check: durationAt(1)},
		{form: "clock of NAME is TIME behind", do: func(p *Play, args []string) error { return p.setClock(args, -1) }, check: durationAt(1)},
		{form: "agent of NAME dies", do: onNode("agent dies", func(n *node.Node) { n.Kill() })},
		{form: "agent of NAME dies before write N", do: func(p *Play, args []string) error { return p.killAtWrite(args, 1) }, check: numberAt(1)},
		{form: "agent of NAME dies after write N", do: func(p *Play, args []string) error { return p.killAtWrite(args, -1) }, check: numberAt(1)},
		{form: "disk of NAME is full", do: onNode("disk full", func(n *node.Node) { n.Fill(true) })},
		{form: "disk of NAME has room", do: onNode("", func(n *node.Node) { n.Fill(false) })},
	}
}

func thawServer(s *server.Server) {
	if m := s.Machine(); m != nil {
		m.Thaw()
	}
}

func thawNode(n *node.Node) {
	if m := n.Machine(); m != nil {
		m.Thaw()
	}
}

func networkVerbs() []verb {
	cut := func(from, to bool) func(p *Play, args []string) error {
		return func(p *Play, args []string) error {
			p.result.Faults["cut off"]++
			return p.cut(args[0], from, to)
		}
	}
	return []verb{
		{form: "NAME is cut off", do: cut(true, true)},
		{form: "first N nodes are cut off", do: func(p *Play, args []string) error {
			n, err := strconv.Atoi(args[0])
			if err != nil || n > len(p.cluster.Nodes()) {
				return fmt.Errorf("there are %d nodes, not %s", len(p.cluster.Nodes()), args[0])
			}
			p.result.Faults["many cut off"]++
			for _, node := range p.cluster.Nodes()[:n] {
				if err := p.cut(node.Name(), true, true); err != nil {
					return err
				}
			}
			return nil
		}},
		{form: "NAME can't send", do: cut(true, false)},
		{form: "NAME can't receive", do: cut(false, true)},
		{form: "NAME and OTHER are cut", do: func(p *Play, args []string) error {
			p.result.Faults["cut"]++
			p.cluster.Net().Cut(args[0], args[1])
			p.cluster.Net().Cut(args[1], args[0])
			p.cluster.Region().Changed()
			return nil
		}},
		{form: "network heals", do: func(p *Play, _ []string) error {
			p.cluster.Net().HealAll()
			p.cluster.Region().Changed()
			return nil
		}},
		{form: "messages are late N by TIME", do: func(p *Play, args []string) error {
			n, err := strconv.Atoi(args[0])
			if err != nil {
				return err
			}
			d, err := time.ParseDuration(args[1])
			p.cluster.Net().SetFaults(wire.Faults{Late: n, LateBy: d, Twice: n})
			return err
		}, check: durationAt(1)},
	}
}

func taskVerbs() []verb {
	return []verb{
		{form: "a task of NAME fails", job: true, do: func(p *Play, args []string) error { return p.failTask(args[0], 1) }},
		{form: "a task of NAME ends", job: true, do: func(p *Play, args []string) error { return p.failTask(args[0], 0) }},
		{form: "NAME is unhealthy", job: true, do: func(p *Play, args []string) error {
			p.result.Faults["unhealthy"]++
			p.unhealthy[args[0]] = true
			return nil
		}},
		{form: "NAME is healthy", job: true, do: func(p *Play, args []string) error { delete(p.unhealthy, args[0]); return nil }},
		{form: "NAME can't start tasks", do: onNode("can't start", func(n *node.Node) { n.Engine().Refuse(true) })},
		{form: "NAME can start tasks", do: onNode("", func(n *node.Node) { n.Engine().Refuse(false) })},
	}
}

// server is one by name; "leader" is the one that leads.
func (p *Play) server(name string) (*server.Server, error) {
	if name == "leader" {
		if s := p.cluster.Leader(); s != nil {
			return s, nil
		}
		return nil, errors.New("there is no leader")
	}
	for _, s := range p.cluster.Servers() {
		if s.Name() == name {
			return s, nil
		}
	}
	return nil, fmt.Errorf("there is no server %q", name)
}

func (p *Play) node(name string) (*node.Node, error) {
	for _, n := range p.cluster.Nodes() {
		if n.Name() == name {
			return n, nil
		}
	}
	return nil, fmt.Errorf("there is no node %q", name)
}

// isServer reports whether a name is one of a server; no node has such a name.
func isServer(name string) bool { return name == "leader" || strings.HasPrefix(name, "server-") }

func onMachine(fault string, onServer func(*server.Server), onNode func(*node.Node)) func(*Play, []string) error {
	return func(p *Play, args []string) error {
		if isServer(args[0]) {
			s, err := p.server(args[0])
			if err == nil {
				p.count("server", fault)
				onServer(s)
			}
			return err
		}
		n, err := p.node(args[0])
		if err == nil {
			p.count("node", fault)
			onNode(n)
		}
		return err
	}
}

func onNode(fault string, do func(*node.Node)) func(*Play, []string) error {
	return func(p *Play, args []string) error {
		n, err := p.node(args[0])
		if err == nil {
			p.count("node", fault)
			do(n)
		}
		return err
	}
}

func (p *Play) count(what, fault string) {
	if fault != "" {
		p.result.Faults[what+" "+fault]++
	}
}

func doDoom(p *Play, args []string) error {
	n, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return err
	}
	name := args[0]
	if name == "leader" {
		name = ""
	}
	p.crashes = append(p.crashes, crash{name: name, at: p.cluster.Applied() + n})
	return nil
}

func doReturn(empty bool) func(*Play, []string) error {
	return func(p *Play, args []string) error {
		if isServer(args[0]) {
			s, err := p.server(args[0])
			if err != nil || s.Machine() != nil {
				return err
			}
			if err := s.Start(); err != nil {
				return err
			}
			s.Machine().SetAhead(p.ahead[s.Name()])
			return nil
		}
		n, err := p.node(args[0])
		if err != nil || n.Machine() != nil {
			return err
		}
		if empty {
			n.Die()
			n.Wipe()
		}
		return n.Start()
	}
}

func (p *Play) killAtWrite(args []string, sign int) error {
	n, err := p.node(args[0])
	if err != nil {
		return err
	}
	at, err := strconv.Atoi(args[1])
	p.result.Faults["agent dies at a write"]++
	n.KillAtWrite(sign * at)
	return err
}

// setClock sets the clock of a server, through all of its lives.
func (p *Play) setClock(args []string, sign time.Duration) error {
	s, err := p.server(args[0])
	if err != nil {
		return err
	}
	d, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	p.result.Faults["clock is wrong"]++
	p.corrected(p.ahead[s.Name()] - d*sign)
	p.ahead[s.Name()] = d * sign
	if m := s.Machine(); m != nil {
		m.SetAhead(d * sign)
	}
	return nil
}

// cut stops what a machine sends or receives.
func (p *Play) cut(name string, sends, receives bool) error {
	if name == "leader" {
		s, err := p.server(name)
		if err != nil {
			return err
		}
		name = s.Name()
	}
	others := []string{"users"}
	for _, s := range p.cluster.Servers() {
		others = append(others, s.Name())
	}
	for _, n := range p.cluster.Nodes() {
		others = append(others, n.Name())
	}
	for _, other := range others {
		if sends {
			p.cluster.Net().Cut(name, other)
		}
		if receives {
			p.cluster.Net().Cut(other, name)
		}
	}
	p.cluster.Region().Changed()
	return nil
}

// failTask ends the first task of a job that runs.
func (p *Play) failTask(job string, code int) error {
	for _, n := range p.cluster.Nodes() {
		for _, t := range n.Engine().Running() {
			if t.Config.JobID == job {
				p.result.Faults["task fails"]++
				n.Engine().Fail(t, code)
				return nil
			}
		}
	}
	return fmt.Errorf("no task of %s runs", job)
}
