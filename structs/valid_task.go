package structs

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (t *Task) validate(f faults, j *Job, g *TaskGroup) {
	f.check(t.Name != "", "a task needs a name")
	f.check(!strings.ContainsAny(t.Name, "/\\\x00"), "the name must not contain a slash, a backslash or a NUL character")
	f.check(t.Name != "alloc", `a task can't be named "alloc", the name of the shared folder`)
	f.in("driver").check(t.Driver != "", "is required, such as docker or raw_exec")
	t.validateTimes(f, j, g)
	validateConstraints(f, t.Constraints, false)
	j.validateAffinities(f, t.Affinities)
	t.Resources.validate(f.in("resources"))
	t.RestartPolicy.validate(f.in("restart"))
	t.LogConfig.validate(f.in("logs"))
	if l := t.Lifecycle; l != nil {
		hooks := []string{TaskHookPrestart, TaskHookPoststart, TaskHookPoststop}
		f.in("lifecycle > hook").check(slices.Contains(hooks, l.Hook), "%s", wantOneOf(l.Hook, hooks))
	}
	for _, s := range t.Services {
		in := f.in("service %q", s.Name)
		s.validate(in, g)
		in.check(s.Connect == nil, "connect belongs to a service of the group")
		alloc := s.AddressMode == AddressModeAlloc || s.AddressMode == AddressModeAllocIPv6
		in.in("address_mode").check(!alloc, "%s only works for services of groups", s.AddressMode)
	}
	t.validateFiles(f)
	t.validateMounts(f, g)
	t.validateAccess(f)
	t.validateExtras(f)
}

func (t *Task) validateTimes(f faults, j *Job, g *TaskGroup) {
	kill := t.GetKillTimeout()
	f.in("kill_timeout").check(kill >= 0, "must not be negative, is %s", kill)
	f.in("shutdown_delay").check(t.ShutdownDelay >= 0, "must not be negative, is %s", t.ShutdownDelay)
	if j.GetType() == JobTypeService && g.Update != nil {
		progress := Value(g.Update.ProgressDeadline)
		f.in("kill_timeout").check(progress <= 0 || kill <= progress,
			"must not be more than the progress_deadline of %s, is %s", progress, kill)
	}
}

// What no node has: asks beyond are mistakes.
const (
	maxAmount = 1 << 40 // MHz or MB
	maxCores  = 1<<16 - 1
)

func (r *Resources) validate(f faults) {
	if r == nil {
		return
	}
	cpu, cores, mem, limit := Value(r.CPU), Value(r.Cores), Value(r.MemoryMB), Value(r.MemoryMaxMB)
	f.in("cores").check(cores >= 0, "must be 0 or more, is %d", cores)
	f.check(cores <= 0 || cpu == 0, "set either cpu or cores, not both")
	f.in("cpu").check(cores > 0 || cpu >= 1, "must be 1 MHz or more, is %d", cpu)
	f.in("memory").check(mem >= 10, "must be 10 MB or more, is %d", mem)
	f.in("memory_max").check(limit == 0 || limit == -1 || limit >= mem, "must be at least memory, which is %d, or -1 for no limit, is %d", mem, limit)
	f.in("disk").check(Value(r.DiskMB) == 0, "set the size of the group's ephemeral_disk instead")
	f.in("secrets").check(Value(r.SecretsMB) >= 0 && Value(r.SecretsMB) <= mem, "must be from 0 to memory, which is %d, is %d", mem, Value(r.SecretsMB))
	f.check(r.NUMA == nil || r.NUMA.Affinity == "none" || r.NUMA.Affinity == "", "numa can't be used in this version: leave the block out")
	for _, n := range r.Networks {
		n.validate(f.in("network"))
	}
	f.in("cpu").check(cpu <= maxAmount, "must be %d MHz or less, is %d", maxAmount, cpu)
	f.in("memory").check(mem <= maxAmount, "must be %d MB or less, is %d", maxAmount, mem)
	f.in("cores").check(cores <= maxCores, "must be %d or less, is %d", maxCores, cores)
	for _, d := range r.Devices {
		in := f.in("device %q", d.Name)
		in.check(d.Name != "" && !slices.Contains(strings.SplitN(d.Name, "/", 3), ""),
			"needs a name: type, vendor/type or vendor/type/model")
		in.in("count").check(ValueOr(d.Count, 1) <= maxCores, "must be %d or less, is %d", maxCores, ValueOr(d.Count, 1))
		validateConstraints(in, d.Constraints, false)
		for i, a := range d.Affinities {
			a.validate(in.in("affinity %d", i+1))
		}
	}
}

func (c *LogConfig) validate(f faults) {
	if c == nil {
		return
	}
	f.in("max_files").check(Value(c.MaxFiles) >= 1, "must be 1 or more, is %d", Value(c.MaxFiles))
	f.in("max_file_size").check(Value(c.MaxFileSizeMB) >= 1, "must be 1 MB or more, is %d", Value(c.MaxFileSizeMB))
}

// escapes reports whether a path leads out of the folder it is relative to.
func escapes(p string) bool {
	clean := path.Clean("/" + p)
	return path.Clean(p) == ".." || strings.HasPrefix(path.Clean(p), "../") || clean == ".."
}

func (t *Task) validateFiles(f faults) {
	for i, a := range t.Artifacts {
		in := f.in("artifact %d", i+1)
		in.in("source").check(Value(a.GetterSource) != "", "is required: what to fetch")
		in.in("destination").check(!escapes(Value(a.RelativeDest)), "%q leads out of the task's directory", Value(a.RelativeDest))
		modes := []string{"any", "file", "dir"}
		in.in("mode").check(slices.Contains(modes, Value(a.GetterMode)), "%s", wantOneOf(Value(a.GetterMode), modes))
		if sum, ok := a.GetterOptions["checksum"]; ok && !strings.Contains(sum, "${") {
			in.in("options > checksum").check(strings.Contains(sum, ":"), "must be type:hex, such as sha256:…, is %q", sum)
		}
	}
	seen := map[string]bool{}
	for i, tmpl := range t.Templates {
		in := f.in("template %d", i+1)
		dest := Value(tmpl.DestPath)
		in.check(dest == "" || !seen[dest], "two templates write to %q", dest)
		seen[dest] = true
		tmpl.validate(in)
	}
	if p := t.DispatchPayload; p != nil {
		in := f.in("dispatch_payload > file")
		in.check(p.File != "", "is required: where the payload is written, under local/")
		in.check(!escapes(p.File), "%q leads out of the task's directory", p.File)
	}
}

func (t *Template) validate(f faults) {
	f.check(Value(t.SourcePath) != "" || Value(t.EmbeddedTmpl) != "", "set source or data: what is rendered")
	f.check(Value(t.SourcePath) == "" || Value(t.EmbeddedTmpl) == "", "set either source or data, not both")
	f.in("destination").check(Value(t.DestPath) != "", "is required: where the result is written")
	f.in("destination").check(!escapes(Value(t.DestPath)), "%q leads out of the task's directory", Value(t.DestPath))
	modes := []string{ChangeModeNoop, ChangeModeRestart, ChangeModeSignal, ChangeModeScript}
	mode := Value(t.ChangeMode)
	f.in("change_mode").check(slices.Contains(modes, mode), "%s", wantOneOf(mode, modes))
	f.check(mode != ChangeModeScript || t.ChangeScript != nil, "change_mode script needs a change_script block")
	if t.ChangeScript != nil {
		f.in("change_script > command").check(Value(t.ChangeScript.Command) != "", "is required")
	}
	f.check(mode != ChangeModeSignal || !Value(t.Envvars), "change_mode signal can't be used together with env: a running task's environment can't change")
	f.in("splay").check(Value(t.Splay) >= 0, "must not be negative, is %s", Value(t.Splay))
	_, err := strconv.ParseUint(Value(t.Perms), 8, 12)
	f.in("perms").check(err == nil, "must be octal, such as 0644, is %q", Value(t.Perms))
	if w := t.Wait; w != nil {
		in := f.in("wait")
		in.check(w.Min != nil && w.Max != nil, "set both min and max")
		in.check(Value(w.Min) <= Value(w.Max), "min is %s, more than max, which is %s", Value(w.Min), Value(w.Max))
	}
}

func (t *Task) validateMounts(f faults, g *TaskGroup) {
	for _, m := range t.VolumeMounts {
		in := f.in("volume_mount %q", Value(m.Volume))
		_, known := g.Volumes[Value(m.Volume)]
		in.in("volume").check(known, "the group has no volume %q", Value(m.Volume))
		in.in("destination").check(Value(m.Destination) != "", "is required: where in the task it is mounted")
		modes := []string{"private", "host-to-task", "bidirectional"}
		in.in("propagation_mode").check(slices.Contains(modes, Value(m.PropagationMode)), "%s", wantOneOf(Value(m.PropagationMode), modes))
		labels := []string{"", "z", "Z"}
		in.in("selinux_label").check(slices.Contains(labels, Value(m.SELinuxLabel)), "%s", wantOneOf(Value(m.SELinuxLabel), labels[1:]))
	}
	if c := t.CSIPluginConfig; c != nil {
		types := []string{"node", "controller", "monolith"}
		f.in("csi_plugin > id").check(c.ID != "", "is required")
		f.in("csi_plugin > type").check(slices.Contains(types, c.Type), "%s", wantOneOf(c.Type, types))
	}
}

// identityName is what an identity may be called.
var identityName = regexp.MustCompile(`^[a-zA-Z0-9-_]{1,128}$`)

// secretName is what a secret may be called.
var secretName = regexp.MustCompile(`^[a-zA-Z0-9_]{1,128}$`)

func (t *Task) validateAccess(f faults) {
	if v := t.Vault; v != nil {
		in := f.in("vault")
		in.in("cluster").check(v.Cluster == "default", `only "default" is supported, is %q`, v.Cluster)
		validateChange(in, Value(v.ChangeMode), Value(v.ChangeSignal))
	}
	if t.Consul != nil {
		t.Consul.validate(f.in("consul"))
	}
	if id := t.Identity; id != nil {
		f.in("identity > ttl").check(id.TTL == 0, "the default identity does not expire: name the identity to give it a ttl")
	}
	seen := map[string]bool{}
	for _, id := range t.Identities {
		in := f.in("identity %q", id.Name)
		in.check(identityName.MatchString(id.Name), "the name must be 1 to 128 letters, digits, hyphens and underscores")
		in.check(!seen[id.Name], "there are two identities of this name: rename one")
		seen[id.Name] = true
		in.check(!slices.Contains(id.Audience, ""), "aud must not contain an empty text")
		in.in("ttl").check(id.TTL >= 0, "must not be negative, is %s", id.TTL)
		in.in("filepath").check(id.Filepath == "" || id.File, "needs file = true")
		in.in("filepath").check(!escapes(id.Filepath), "%q leads out of the task's directory", id.Filepath)
		if id.ChangeMode != "" || id.ChangeSignal != "" {
			validateChange(in, id.ChangeMode, id.ChangeSignal)
			in.check(id.ChangeSignal == "" || id.ChangeMode == ChangeModeSignal, `change_signal needs change_mode "signal"`)
		}
	}
}

func validateChange(f faults, mode, signal string) {
	modes := []string{ChangeModeNoop, ChangeModeRestart, ChangeModeSignal}
	f.in("change_mode").check(slices.Contains(modes, mode), "%s", wantOneOf(mode, modes))
	f.check(mode != ChangeModeSignal || signal != "", "change_mode signal needs change_signal")
}

func (t *Task) validateExtras(f faults) {
	seen := map[string]bool{}
	for _, a := range t.Actions {
		in := f.in("action %q", a.Name)
		in.check(a.Name != "" && len(a.Name) <= 128 && !strings.ContainsAny(a.Name, " \t\r\n\x00"),
			"the name must be 1 to 128 characters without blanks")
		in.in("command").check(a.Command != "", "is required")
		in.check(!seen[a.Name], "there are two actions of this name: rename one")
		seen[a.Name] = true
	}
	secrets := map[string]bool{}
	for _, s := range t.Secrets {
		in := f.in("secret %q", s.Name)
		in.check(secretName.MatchString(s.Name), "the name must be 1 to 128 letters, digits and underscores")
		in.check(!secrets[s.Name], "there are two secrets of this name: rename one")
		secrets[s.Name] = true
		in.in("provider").check(s.Provider != "", "is required: nomad, vault or a plugin's name")
		in.in("path").check(s.Path != "", "is required")
		in.check(s.Provider != "vault" || t.Vault != nil, "the provider vault needs a vault block in the task")
	}
	f.check(t.Schedule == nil, "schedule can't be used in this version: leave the block out")
	f.check(len(t.ScalingPolicies) == 0, "scaling of a task can't be used in this version: scale the group")
}

// MaxKillTimeout is the longest kill timeout that nodes grant unless they are
// configured otherwise.
const MaxKillTimeout = 30 * time.Second
