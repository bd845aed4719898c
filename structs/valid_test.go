package structs

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type fault struct {
	change func(*Job)
	want   string // all messages, a line each; "" is valid
}

func (c fault) run(t *testing.T) {
	t.Helper()
	j := edited(t, c.change)
	got := ""
	if err := j.Validate(); err != nil {
		var v *ValidationError
		if !errors.As(err, &v) {
			t.Fatalf("not a ValidationError: %T", err)
		}
		got = strings.Join(v.Messages(), "\n")
	}
	if d := cmp.Diff(c.want, got); d != "" {
		t.Error(d)
	}
}

func group(j *Job) *TaskGroup            { return j.TaskGroups[0] }
func task(j *Job) *Task                  { return j.TaskGroups[0].Tasks[0] }
func service(j *Job) *Service            { return j.TaskGroups[0].Services[0] }
func check(j *Job) *ServiceCheck         { return &service(j).Checks[0] }
func batch(j *Job)                       { j.Type = new(JobTypeBatch) }
func system(j *Job)                      { j.Type = new(JobTypeSystem); group(j).Count = new(1) }
func dur(d time.Duration) *time.Duration { return &d }

func TestValidateJob(t *testing.T) {
	for name, c := range map[string]fault{
		"good":         {nil, ""},
		"no id":        {func(j *Job) { j.ID, j.Name = nil, nil }, "a job needs an ID\na job needs a name"},
		"blank in id":  {func(j *Job) { j.ID = new("a b") }, `the ID "a b" must not contain a space or a NUL character`},
		"type":         {func(j *Job) { j.Type = new("core") }, `type: must be one of service, batch, system, sysbatch, is "core"`},
		"priority":     {func(j *Job) { j.Priority = new(101) }, "priority: must be from 1 to 100, is 101"},
		"datacenters":  {func(j *Job) { j.Datacenters = []string{"a", ""} }, "datacenters: must not contain an empty name"},
		"no groups":    {func(j *Job) { j.TaskGroups = nil }, "a job needs at least one group"},
		"multiregion":  {func(j *Job) { j.Multiregion = &Multiregion{Regions: []*MultiregionRegion{{Name: "x"}}} }, "multiregion jobs can't be run by this version: register the job in each region"},
		"long text":    {func(j *Job) { j.UI = &JobUIConfig{Description: strings.Repeat("ä", 1001)} }, "ui > description: has 1001 characters, more than the limit of 1000"},
		"two groups":   {func(j *Job) { j.TaskGroups = append(j.TaskGroups, group(j).Clone()) }, `there are two groups named "front": rename one`},
		"cron":         {func(j *Job) { batch(j); j.Periodic = &PeriodicConfig{Specs: []string{"x"}} }, `periodic > crons: "x" is no cron expression that can be used: missing field(s)`},
		"no cron":      {func(j *Job) { batch(j); j.Periodic = &PeriodicConfig{} }, "periodic: set crons to a list of cron expressions"},
		"two crons":    {func(j *Job) { batch(j); j.Periodic = &PeriodicConfig{Spec: new("@daily"), Specs: []string{"@daily"}} }, "periodic: set either cron or crons, not both"},
		"zone":         {func(j *Job) { batch(j); j.Periodic = &PeriodicConfig{Spec: new("@daily"), TimeZone: new("Moon/Sea")} }, `periodic > time_zone: "Moon/Sea" is not a known time zone: use a name like Europe/Vienna`},
		"periodic srv": {func(j *Job) { j.Periodic = &PeriodicConfig{Specs: []string{"@daily"}} }, "periodic: only batch and sysbatch jobs can be periodic, this is a service job"},
		"both": {func(j *Job) {
			batch(j)
			j.Periodic, j.ParameterizedJob = &PeriodicConfig{Specs: []string{"@daily"}}, &ParameterizedJobConfig{}
		}, "periodic: a job can't be both periodic and parameterized"},
		"payload": {func(j *Job) { batch(j); j.ParameterizedJob = &ParameterizedJobConfig{Payload: "yes"} }, `parameterized > payload: must be one of optional, required, forbidden, is "yes"`},
		"meta twice": {func(j *Job) {
			batch(j)
			j.ParameterizedJob = &ParameterizedJobConfig{MetaRequired: []string{"a"}, MetaOptional: []string{"a"}}
		}, `parameterized: the meta key "a" is both required and optional`},
		"update of batch": {func(j *Job) {
			batch(j)
			j.Update = &UpdateStrategy{MaxParallel: new(2)}
			group(j).Update = DefaultUpdateStrategy()
		}, `group "front" > update: only service and system jobs can have it, this is a batch job`},
	} {
		t.Run(name, c.run)
	}
}

func TestValidatePlacement(t *testing.T) {
	constraint := func(c Constraint) func(*Job) { return func(j *Job) { j.Constraints = []*Constraint{&c} } }
	affinity := func(a Affinity) func(*Job) { return func(j *Job) { group(j).Affinities = []*Affinity{&a} } }
	spread := func(s Spread) func(*Job) { return func(j *Job) { group(j).Spreads = []*Spread{&s} } }
	for name, c := range map[string]fault{
		"operator":  {constraint(Constraint{LTarget: "${attr.a}", Operand: "~"}), `constraint 1 > operator: must be one of =, ==, is, !=, not, >, >=, <, <=, regexp, set_contains, set_contains_all, set_contains_any, version, semver, distinct_hosts, distinct_property, is_set, attribute_is_set, is_not_set, attribute_is_not_set, is "~"`},
		"regexp":    {constraint(Constraint{"${attr.a}", "(", OpRegexp}), "constraint 1 > value: not a regular expression: error parsing regexp: missing closing ): `(`"},
		"version":   {constraint(Constraint{"${attr.a}", "new", OpVersion}), `constraint 1 > value: not a version constraint, such as >= 1.2: "new"`},
		"on node":   {constraint(Constraint{"${attr.a}", "${meta.v}", OpVersion}), ""},
		"no value":  {constraint(Constraint{"${attr.a}", "", ">"}), "constraint 1 > value: the operator > needs a value"},
		"no attr":   {constraint(Constraint{"", "x", "="}), "constraint 1: set attribute, such as ${attr.kernel.name}"},
		"unclosed":  {constraint(Constraint{"${attr.a", "x", "="}), `constraint 1 > attribute: "${attr.a" is not an attribute: write ${attr.kernel.name}, ${meta.key} or ${node.class}`},
		"is_set":    {constraint(Constraint{"${attr.a}", "x", OpAttributeSet}), "constraint 1 > value: is_set takes no value"},
		"distinct":  {constraint(Constraint{"", "", OpDistinctHosts}), ""},
		"property":  {constraint(Constraint{"${attr.rack}", "0", OpDistinctProperty}), `constraint 1 > value: must be how many may share a value, 1 or more, is "0"`},
		"task":      {func(j *Job) { task(j).Constraints = []*Constraint{{Operand: OpDistinctHosts}} }, `group "front" > task "app" > constraint 1: distinct_hosts belongs to the group or the job, not to a task`},
		"weight":    {affinity(Affinity{"${attr.a}", "x", "=", new(int8(0))}), `group "front" > affinity 1 > weight: must be from -100 to 100 and not 0, is 0`},
		"affinity":  {affinity(Affinity{"${attr.a}", "x", OpDistinctHosts, new(int8(5))}), `group "front" > affinity 1 > operator: must be one of =, ==, is, !=, not, >, >=, <, <=, regexp, set_contains, set_contains_all, set_contains_any, version, semver, is "distinct_hosts"`},
		"system":    {func(j *Job) { system(j); group(j).Migrate = nil; affinity(Affinity{"${attr.a}", "x", "=", nil})(j) }, `group "front": system jobs run on every node and can't have affinities`},
		"spread":    {spread(Spread{"", new(int8(101)), nil}), "group \"front\" > spread 1: set attribute, such as ${node.datacenter}\ngroup \"front\" > spread 1 > weight: must be from 1 to 100, is 101"},
		"over 100":  {spread(Spread{"${node.datacenter}", nil, []*SpreadTarget{{"a", 60}, {"b", 60}}}), `group "front" > spread 1: the targets' percentages add up to 120, more than 100`},
		"same name": {spread(Spread{"${node.datacenter}", nil, []*SpreadTarget{{"a", 6}, {"a", 6}}}), `group "front" > spread 1 > target "a": is there twice`},
	} {
		t.Run(name, c.run)
	}
}

func TestValidateGroup(t *testing.T) {
	const at = `group "front"`
	for name, c := range map[string]fault{
		"count":        {func(j *Job) { group(j).Count = new(-3) }, at + " > count: must be 0 or more, is -3"},
		"system count": {func(j *Job) { system(j); group(j).Count = new(2) }, at + " > count: a system job runs once on every node, so at most 1, is 2"},
		"no tasks":     {func(j *Job) { group(j).Tasks = nil }, at + ": a group needs at least one task"},
		"no main":      {func(j *Job) { task(j).Lifecycle = &TaskLifecycle{Hook: "prestart"} }, at + ": a group needs a task without a lifecycle block, its main task"},
		"leaders": {func(j *Job) {
			task(j).Leader = true
			b := task(j).Clone()
			b.Name = "b"
			group(j).Tasks = append(group(j).Tasks, b)
		}, at + ": 2 tasks are leaders, at most one can be"},
		"restart": {func(j *Job) {
			group(j).RestartPolicy = &RestartPolicy{Attempts: new(10), Interval: dur(time.Minute)}
			task(j).RestartPolicy = DefaultRestartPolicy("service")
		}, at + " > restart: 10 restarts with a delay of 15s can't happen in an interval of 1m0s: lengthen the interval"},
		"restart mode": {func(j *Job) {
			group(j).RestartPolicy = &RestartPolicy{Attempts: new(0), Mode: new("delay")}
			task(j).RestartPolicy = DefaultRestartPolicy("service")
		}, at + ` > restart > attempts: 0 attempts can only be used with mode "fail"`},
		"reschedule": {func(j *Job) {
			group(j).ReschedulePolicy = &ReschedulePolicy{Attempts: new(5), Interval: dur(time.Minute), Delay: dur(time.Minute)}
		}, at + " > reschedule: 5 attempts take 31m0s with these delays, longer than the interval of 1m0s: lengthen it"},
		"resched cap":    {func(j *Job) { group(j).ReschedulePolicy = &ReschedulePolicy{MaxDelay: dur(10 * time.Second)} }, at + " > reschedule > max_delay: must be 5s or more and not less than the delay of 30s, is 10s"},
		"resched system": {func(j *Job) { system(j); group(j).ReschedulePolicy = DefaultReschedulePolicy("service") }, at + " > reschedule: only service and batch jobs can have it, this is a system job"},
		"deadlines": {func(j *Job) {
			group(j).Update = &UpdateStrategy{MinHealthyTime: dur(time.Hour), ProgressDeadline: dur(time.Minute)}
		}, at + " > update > min_healthy_time: must be less than the healthy_deadline of 5m0s, is 1h0m0s\n" + at + " > update > healthy_deadline: must be less than the progress_deadline of 1m0s, is 5m0s"},
		"promote":  {func(j *Job) { group(j).Update = &UpdateStrategy{AutoPromote: new(true)} }, at + " > update > auto_promote: needs canaries: set canary, or leave auto_promote out"},
		"scaling":  {func(j *Job) { group(j).Scaling = &ScalingPolicy{Min: new(int64(3)), Max: new(int64(5))} }, at + " > scaling: the group's count of 2 must be from min 3 to max 5"},
		"no max":   {func(j *Job) { group(j).Scaling = &ScalingPolicy{} }, at + " > scaling > max: set it to the largest count allowed"},
		"disk":     {func(j *Job) { group(j).EphemeralDisk = &EphemeralDisk{SizeMB: new(50)} }, at + " > ephemeral_disk > size: the tasks' logs may take 100 MB, which must be less than the disk's 50 MB: enlarge the disk or lower max_files or max_file_size"},
		"networks": {func(j *Job) { group(j).Networks = append(group(j).Networks, &NetworkResource{}) }, at + ": a group can have one network block, this has 2"},
		"same port": {func(j *Job) {
			group(j).Networks[0].ReservedPorts = []Port{{Label: "http", Value: 80}, {Label: "b", Value: 80}}
		}, at + ` > network > port "b": the static port 80 is taken by port "http" of the same group` + "\n" + at + ` > network > port "http": there are two ports of this label: rename one`},
		"port range":   {func(j *Job) { group(j).Networks[0].ReservedPorts = []Port{{Label: "a", Value: 65536, To: -2}} }, at + ` > network > port "a" > static: must be from 1 to 65535, is 65536` + "\n" + at + ` > network > port "a" > to: must be from 0 to 65535, or -1 for the host's port, is -2`},
		"mode":         {func(j *Job) { group(j).Networks[0].Mode = "weird" }, at + ` > network > mode: must be one of none, host, bridge, cni/<network>, is "weird"`},
		"cni":          {func(j *Job) { group(j).Networks[0].Mode = "cni/mine" }, ""},
		"volume":       {func(j *Job) { group(j).Volumes = map[string]*VolumeRequest{"v": {Type: "nfs"}} }, at + ` > volume "v" > type: must be one of host, csi, is "nfs"` + "\n" + at + ` > volume "v" > source: name the volume that is meant`},
		"run duration": {func(j *Job) { group(j).MaxRunDuration = dur(time.Minute) }, at + " > max_run_duration: only batch and sysbatch jobs can have it, this is a service job"},
		"disconnect": {func(j *Job) {
			group(j).Disconnect = &DisconnectStrategy{LostAfter: dur(time.Minute), StopOnClientAfter: dur(time.Minute)}
		}, at + " > disconnect > stop_on_client_after: can't be used together with lost_after"},
	} {
		t.Run(name, c.run)
	}
}

func TestValidateTaskAndService(t *testing.T) {
	const in, svc = `group "front" > task "app"`, `group "front" > service "web"`
	for name, c := range map[string]fault{
		"driver":    {func(j *Job) { task(j).Driver = "" }, in + " > driver: is required, such as docker or raw_exec"},
		"name":      {func(j *Job) { task(j).Name = "a/b" }, `group "front" > task "a/b": the name must not contain a slash, a backslash or a NUL character`},
		"alloc":     {func(j *Job) { task(j).Name = "alloc" }, `group "front" > task "alloc": a task can't be named "alloc", the name of the shared folder`},
		"no cpu":    {func(j *Job) { task(j).Resources = &Resources{CPU: new(0)} }, in + " > resources > cpu: must be 1 MHz or more, is 0"},
		"resources": {func(j *Job) { task(j).Resources = &Resources{CPU: new(-1), MemoryMB: new(5), MemoryMaxMB: new(3)} }, in + " > resources > cpu: must be 1 MHz or more, is -1\n" + in + " > resources > memory: must be 10 MB or more, is 5\n" + in + " > resources > memory_max: must be at least memory, which is 5, or -1 for no limit, is 3"},
		"cores":     {func(j *Job) { task(j).Resources = &Resources{CPU: new(100), Cores: new(2)} }, in + " > resources: set either cpu or cores, not both"},
		"kill":      {func(j *Job) { task(j).KillTimeout = dur(time.Hour) }, in + " > kill_timeout: must not be more than the progress_deadline of 10m0s, is 1h0m0s"},
		"hook": {func(j *Job) {
			b := task(j).Clone()
			b.Name, b.Lifecycle = "b", &TaskLifecycle{Hook: "later"}
			group(j).Tasks = append(group(j).Tasks, b)
		}, `group "front" > task "b" > lifecycle > hook: must be one of prestart, poststart, poststop, is "later"`},
		"artifact": {func(j *Job) { task(j).Artifacts = []*TaskArtifact{{RelativeDest: new("../../etc")}} }, in + " > artifact 1 > source: is required: what to fetch\n" + in + ` > artifact 1 > destination: "../../etc" leads out of the task's directory`},
		"template": {func(j *Job) {
			task(j).Templates = []*Template{{SourcePath: new("a"), EmbeddedTmpl: new("b"), Perms: new("9")}}
		}, in + " > template 1: set either source or data, not both\n" + in + " > template 1 > destination: is required: where the result is written\n" + in + ` > template 1 > perms: must be octal, such as 0644, is "9"`},
		"mount":        {func(j *Job) { task(j).VolumeMounts = []*VolumeMount{{Volume: new("v"), Destination: new("/x")}} }, in + ` > volume_mount "v" > volume: the group has no volume "v"`},
		"identity":     {func(j *Job) { task(j).Identities = []*WorkloadIdentity{{Name: "a b", ChangeMode: "signal"}} }, in + ` > identity "a b": the name must be 1 to 128 letters, digits, hyphens and underscores` + "\n" + in + ` > identity "a b": change_mode signal needs change_signal`},
		"action":       {func(j *Job) { task(j).Actions = []*Action{{Name: "a b"}} }, in + ` > action "a b": the name must be 1 to 128 characters without blanks` + "\n" + in + ` > action "a b" > command: is required`},
		"secret":       {func(j *Job) { task(j).Secrets = []*Secret{{Name: "s", Provider: "vault", Path: "p"}} }, in + ` > secret "s": the provider vault needs a vault block in the task`},
		"schedule":     {func(j *Job) { task(j).Schedule = &TaskSchedule{} }, in + ": schedule can't be used in this version: leave the block out"},
		"service name": {func(j *Job) { service(j).Name = "my_web" }, `group "front" > service "my_web" > name: "my_web" must be 1 to 63 letters, digits and hyphens, not beginning or ending with a hyphen`},
		"port":         {func(j *Job) { service(j).PortLabel = "web" }, svc + ` > port: the group has no port "web": add it to the network block`},
		"provider":     {func(j *Job) { service(j).Provider = "etcd" }, svc + ` > provider: must be one of consul, nomad, is "etcd"`},
		"check":        {func(j *Job) { *check(j) = ServiceCheck{Name: "c", Type: "http"} }, svc + ` > check "c" > interval: must be 1s or more, is 0s` + "\n" + svc + ` > check "c" > timeout: must be 1s or more, is 0s` + "\n" + svc + ` > check "c" > path: is required for http checks`},
		"native":       {func(j *Job) { service(j).Meta = map[string]string{"a": "b"} }, svc + `: meta needs the provider "consul": use tags`},
		"no task":      {func(j *Job) { service(j).TaskName = "other" }, svc + ` > task: the group has no task "other"`},
		"check type":   {func(j *Job) { check(j).Name, check(j).Type = "c", "ping" }, svc + ` > check "c" > type: must be one of http, tcp, grpc, script, is "ping"`},
		"script":       {func(j *Job) { check(j).Name, check(j).Type = "c", "script" }, svc + ` > check "c" > command: is required for script checks` + "\n" + svc + ` > check "c" > task: is required for script checks of a group's service: it says where the command runs`},
		"script where": {func(j *Job) {
			check(j).Name, check(j).Type, check(j).Command, check(j).TaskName = "c", "script", "true", "db"
		}, svc + ` > check "c" > task: the group has no task "db"`},
		"expose":  {func(j *Job) { check(j).Name, check(j).Expose = "c", true }, svc + ` > check "c" > expose: opens a path through a service mesh, which there is not yet: leave it out and check the service itself`},
		"initial": {func(j *Job) { check(j).Name, check(j).InitialStatus = "c", "well" }, svc + ` > check "c" > initial_status: must be one of passing, warning, critical, is "well"`},
		"thresholds": {func(j *Job) {
			c := check(j)
			c.Name, c.SuccessBeforePassing, c.FailuresBeforeCritical, c.FailuresBeforeWarning = "c", -1, -2, -3
		},
			svc + ` > check "c" > success_before_passing: must be 0 or more, is -1` + "\n" + svc + ` > check "c" > failures_before_critical: must be 0 or more, is -2` + "\n" + svc + ` > check "c" > failures_before_warning: must be 0 or more, is -3`},
		"method": {func(j *Job) { check(j).Name, check(j).Method = "c", "FETCH" }, svc + ` > check "c" > method: must be one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE, CONNECT, is "FETCH"`},
		"sizes": {func(j *Job) {
			c := check(j)
			c.Name, c.Body, c.Notes = "c", strings.Repeat("x", 65<<10), strings.Repeat("x", 256)
			c.Header = map[string][]string{"A": {strings.Repeat("x", 17<<10), "b\nc"}}
		}, svc + ` > check "c" > notes: must be no longer than 255 characters` + "\n" + svc + ` > check "c" > body: is longer than 65536 bytes` + "\n" + svc + ` > check "c" > header: "A" has a line break in it` + "\n" + svc + ` > check "c" > header: is longer than 16384 bytes`},
	} {
		t.Run(name, c.run)
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	err := edited(t, func(j *Job) {
		j.Priority = new(-5)
		group(j).Count = new(-1)
		task(j).Driver = ""
	}).Validate()
	want := "3 errors occurred:\n\t* priority: must be from 1 to 100, is -5\n" +
		"\t* group \"front\" > count: must be 0 or more, is -1\n" +
		"\t* group \"front\" > task \"app\" > driver: is required, such as docker or raw_exec\n"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want\n%s", err, want)
	}
}

func TestWarnings(t *testing.T) {
	j := edited(t, func(j *Job) {
		group(j).Update = &UpdateStrategy{MaxParallel: new(5)}
		group(j).Networks[0].MBits = new(10)
		task(j).KillTimeout = dur(time.Minute)
	})
	want := "3 warning(s):\n\n" +
		"* group \"front\" > update > max_parallel: is 5, more than the group's count of 2: a destructive update will stop the whole group\n" +
		"* group \"front\" > network > mbits: is deprecated and ignored\n" +
		"* group \"front\" > task \"app\" > kill_timeout: is 1m0s, but nodes grant at most 30s unless they are configured with a longer max_kill_timeout"
	if d := cmp.Diff(want, WarningText(j.Warnings())); d != "" {
		t.Error(d)
	}
	if got := WarningText(nil); got != "" {
		t.Errorf("no warnings make %q", got)
	}
}

func TestNextLaunch(t *testing.T) {
	p := &PeriodicConfig{Specs: []string{"0 12 * * *", "30 11 * * *"}, TimeZone: new("UTC")}
	from := time.Date(2026, 1, 2, 11, 0, 0, 0, time.UTC)
	for _, want := range []string{"11:30", "12:00", "11:30"} {
		from = p.Next(from)
		if got := from.Format("15:04"); got != want {
			t.Errorf("next launch at %s, want %s", got, want)
		}
	}
}

// Validation of anything at all ends without a panic.
func TestValidateSurvivesAnything(t *testing.T) {
	for _, j := range []*Job{{}, populated[Job](), {TaskGroups: []*TaskGroup{nil, {}, {Tasks: []*Task{nil, {}}}}}} {
		j.Canonicalize()
		j.ImplyConstraints()
		if j.Validate() == nil {
			t.Error("nonsense is valid")
		}
		j.Warnings()
	}
}

func TestAJobAsksForNoMoreThanItsServersAllow(t *testing.T) {
	job := edited(t, func(*Job) {})
	job.TaskGroups = append(job.TaskGroups, group(job).Clone(), group(job).Clone())
	for _, c := range []struct {
		counts [3]int
		limit  int
		ok     bool
	}{
		{[3]int{20, 20, 10}, 50, true},
		{[3]int{20, 20, 11}, 50, false},
		{[3]int{1 << 62, 1 << 62, 1 << 62}, 50, false},
		{[3]int{1 << 62, 1 << 62, 1 << 62}, 0, true},
	} {
		for i := range c.counts {
			job.TaskGroups[i].Count = &c.counts[i]
		}
		if err := job.ValidateCount(c.limit); (err == nil) != c.ok {
			t.Errorf("%v of %d: %v", c.counts, c.limit, err)
		}
	}
}
