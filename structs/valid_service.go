package structs

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

func (g *TaskGroup) validateServices(f faults) {
	providers := map[string]bool{}
	for _, s := range g.AllServices() {
		providers[s.Provider] = true
	}
	f.check(len(providers) <= 1, "all services of a group must have the same provider")
	for _, s := range g.Services {
		in := f.in("service %q", s.Name)
		s.validate(in, g)
		in.in("address_mode").check(s.AddressMode != AddressModeDriver, "driver only works for services of tasks")
		if s.TaskName != "" {
			in.in("task").check(g.LookupTask(s.TaskName) != nil, "the group has no task %q", s.TaskName)
		}
	}
}

// validate checks a service of the group or of one of its tasks.
func (s *Service) validate(f faults, g *TaskGroup) {
	name := s.Name
	f.in("name").check(strings.Contains(name, "${") || isDNSLabel(name),
		"%q must be 1 to 63 letters, digits and hyphens, not beginning or ending with a hyphen", name)
	providers := []string{ServiceProviderConsul, ServiceProviderNomad}
	f.in("provider").check(slices.Contains(providers, s.Provider), "%s", wantOneOf(s.Provider, providers))
	modes := []string{AddressModeAuto, AddressModeHost, AddressModeDriver, AddressModeAlloc, AddressModeAllocIPv6}
	f.in("address_mode").check(slices.Contains(modes, s.AddressMode), "%s", wantOneOf(s.AddressMode, modes))
	f.in("address_mode").check(s.Address == "" || s.AddressMode == AddressModeAuto, "must be left out when address is set")
	s.validatePort(f, g)
	updates := []string{OnUpdateRequireHealthy, OnUpdateIgnoreWarn, OnUpdateIgnore}
	f.in("on_update").check(slices.Contains(updates, s.OnUpdate), "%s", wantOneOf(s.OnUpdate, updates))
	f.in("cluster").check(s.Cluster == "default", `only "default" is supported, is %q`, s.Cluster)
	if s.Provider == ServiceProviderNomad {
		s.validateNative(f)
	}
	if id := s.Identity; id != nil {
		f.in("identity").check(len(id.Audience) > 0, "set aud: for whom the identity is")
	}
	seen := map[string]bool{}
	for i := range s.Checks {
		c := &s.Checks[i]
		in := f.in("check %q", c.Name)
		in.check(!seen[c.Name], "there are two checks of this name: name them differently")
		seen[c.Name] = true
		c.validate(in, s, g)
	}
}

func (s *Service) validatePort(f faults, g *TaskGroup) {
	if s.PortLabel == "" || strings.Contains(s.PortLabel, "${") {
		return
	}
	if _, err := strconv.Atoi(s.PortLabel); err == nil {
		return
	}
	in := f.in("port")
	driver := s.AddressMode == AddressModeDriver // labels of the driver's own
	in.check(driver || g.HasPort(s.PortLabel), "the group has no port %q: add it to the network block", s.PortLabel)
}

func (s *Service) validateNative(f faults) {
	f.check(s.Connect == nil, `connect needs the provider "consul"`)
	f.check(!s.EnableTagOverride, `enable_tag_override needs the provider "consul"`)
	f.check(len(s.Meta) == 0 && len(s.CanaryMeta) == 0, `meta needs the provider "consul": use tags`)
}

// What a check may ask for: what it sends is kept in every copy of the job.
const (
	maxCheckBody    = 64 << 10
	maxCheckHeader  = 16 << 10
	maxCheckCommand = 16 << 10
	maxCheckNotes   = 255
)

func (c *ServiceCheck) validate(f faults, s *Service, g *TaskGroup) {
	types := []string{CheckTypeHTTP, CheckTypeTCP, CheckTypeGRPC, CheckTypeScript}
	f.in("type").check(slices.Contains(types, c.Type), "%s", wantOneOf(c.Type, types))
	f.in("interval").check(c.Interval >= time.Second, "must be 1s or more, is %s", c.Interval)
	f.in("timeout").check(c.Timeout >= time.Second, "must be 1s or more, is %s", c.Timeout)
	f.in("notes").check(len(c.Notes) <= maxCheckNotes, "must be no longer than %d characters", maxCheckNotes)
	f.in("expose").check(!c.Expose, "opens a path through a service mesh, which there is not yet: leave it out and check the service itself")
	switch c.Type {
	case CheckTypeHTTP:
		c.validateHTTP(f)
	case CheckTypeScript:
		c.validateScript(f, s, g)
	}
	if c.Type == CheckTypeHTTP || c.Type == CheckTypeTCP || c.Type == CheckTypeGRPC {
		c.validatePort(f.in("port"), s, g)
	}
	modes := []string{"", AddressModeHost, AddressModeDriver, AddressModeAlloc, AddressModeAllocIPv6}
	f.in("address_mode").check(slices.Contains(modes, c.AddressMode), "%s", wantOneOf(c.AddressMode, modes[1:]))
	c.validateHealth(f)
}

func (c *ServiceCheck) validateHTTP(f faults) {
	f.in("path").check(c.Path != "", "is required for http checks")
	f.in("path").check(!strings.Contains(c.Path, "://"), "must be a path without a host, such as /health, is %q", c.Path)
	protocols := []string{"", "http", "https"}
	f.in("protocol").check(slices.Contains(protocols, c.Protocol), "%s", wantOneOf(c.Protocol, protocols[1:]))
	methods := []string{"", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}
	open := strings.Contains(c.Method, "${") // settled on the node
	f.in("method").check(open || slices.Contains(methods, c.Method), "%s", wantOneOf(c.Method, methods[1:]))
	f.in("body").check(len(c.Body) <= maxCheckBody, "is longer than %d bytes", maxCheckBody)
	size := 0
	for name, values := range c.Header {
		for _, v := range values {
			size += len(name) + len(v)
			f.in("header").check(!strings.ContainsAny(name+v, "\r\n"), "%q has a line break in it", name)
		}
	}
	f.in("header").check(size <= maxCheckHeader, "is longer than %d bytes", maxCheckHeader)
}

func (c *ServiceCheck) validateScript(f faults, s *Service, g *TaskGroup) {
	f.in("command").check(c.Command != "", "is required for script checks")
	size := len(c.Command)
	for _, arg := range c.Args {
		size += len(arg)
	}
	f.in("args").check(size <= maxCheckCommand, "are longer than %d bytes", maxCheckCommand)
	task := c.TaskName
	if task == "" {
		task = s.TaskName
	}
	in := f.in("task")
	in.check(task != "", "is required for script checks of a group's service: it says where the command runs")
	if task != "" {
		in.check(g.LookupTask(task) != nil, "the group has no task %q", task)
	}
}

// validateHealth checks what follows from what a check finds.
func (c *ServiceCheck) validateHealth(f faults) {
	updates := []string{OnUpdateRequireHealthy, OnUpdateIgnoreWarn, OnUpdateIgnore}
	f.in("on_update").check(slices.Contains(updates, c.OnUpdate), "%s", wantOneOf(c.OnUpdate, updates))
	initial := []string{"", "passing", "warning", "critical"}
	f.in("initial_status").check(slices.Contains(initial, c.InitialStatus), "%s", wantOneOf(c.InitialStatus, initial[1:]))
	f.in("success_before_passing").check(c.SuccessBeforePassing >= 0, "must be 0 or more, is %d", c.SuccessBeforePassing)
	f.in("failures_before_critical").check(c.FailuresBeforeCritical >= 0, "must be 0 or more, is %d", c.FailuresBeforeCritical)
	f.in("failures_before_warning").check(c.FailuresBeforeWarning >= 0, "must be 0 or more, is %d", c.FailuresBeforeWarning)
	if r := c.CheckRestart; r != nil {
		f.in("check_restart > limit").check(r.Limit >= 0, "must be 0 or more, is %d", r.Limit)
		f.in("check_restart > grace").check(Value(r.Grace) >= 0, "must not be negative, is %s", Value(r.Grace))
		f.check(c.OnUpdate != OnUpdateIgnore || r.Limit == 0, "on_update ignore can't be used together with check_restart")
	}
}

func (c *ServiceCheck) validatePort(f faults, s *Service, g *TaskGroup) {
	label := c.PortLabel
	if label == "" {
		f.check(s.PortLabel != "", "set port here or on the service")
		return
	}
	if _, err := strconv.Atoi(label); err == nil || strings.Contains(label, "${") {
		return
	}
	driver := c.AddressMode == AddressModeDriver
	f.check(driver || g.HasPort(label), "the group has no port %q: add it to the network block", label)
}

func (c *Consul) validate(f faults) {
	f.in("cluster").check(c.Cluster == "default", `only "default" is supported, is %q`, c.Cluster)
}
