package structs

import "time"

func (g *TaskGroup) canonicalize(j *Job) {
	fill(&g.Name, "")
	if g.Scaling != nil && g.Count == nil && g.Scaling.Min != nil {
		g.Count = new(int(*g.Scaling.Min))
	}
	fill(&g.Count, 1)
	fill(&g.PreventRescheduleOnLost, false)
	inherit(&g.EphemeralDisk, DefaultEphemeralDisk())
	if *g.EphemeralDisk.Migrate {
		g.EphemeralDisk.Sticky = new(true)
	}
	g.fillPolicies(j)
	g.Scaling.canonicalize(j, g)
	if g.Consul != nil {
		fillZero(&g.Consul.Cluster, "default")
	}
	for name, v := range g.Volumes {
		fillZero(&v.Name, name)
	}
	canonicalizeNetworks(g.Networks)
	canonicalizeConstraints(g.Constraints)
	canonicalizeAffinities(g.Affinities)
	canonicalizeSpreads(g.Spreads)
	for _, s := range g.Services {
		s.canonicalize(j, g, "")
	}
	for _, t := range g.Tasks {
		t.canonicalize(j, g)
	}
}

func (g *TaskGroup) fillPolicies(j *Job) {
	kind := j.GetType()
	inherit(&g.RestartPolicy, DefaultRestartPolicy(kind))
	inherit(&g.Update, j.groupUpdate())
	if j.updates() {
		inherit(&g.Update, DefaultUpdateStrategy())
	}
	inherit(&g.ReschedulePolicy, j.Reschedule)
	g.ReschedulePolicy.canonicalize()
	if def := DefaultReschedulePolicy(kind); def != nil {
		inherit(&g.ReschedulePolicy, def)
	}
	inherit(&g.Migrate, j.Migrate)
	if kind == JobTypeService {
		inherit(&g.Migrate, DefaultMigrateStrategy())
	}
	if d := g.Disconnect; d != nil {
		fill(&d.LostAfter, 0)
		fill(&d.Replace, true)
		fillText(&d.Reconcile, ReconcileBestScore)
	}
}

// canonicalize settles what a user who set only one of Attempts and Unlimited
// meant, before the defaults of the job's type fill the rest.
func (p *ReschedulePolicy) canonicalize() {
	if p == nil {
		return
	}
	if p.Unlimited == nil && Value(p.Attempts) > 0 {
		p.Unlimited = new(false)
	}
	if p.Attempts == nil && Value(p.Unlimited) {
		p.Attempts = new(0)
	}
}

func (p *ScalingPolicy) canonicalize(j *Job, g *TaskGroup) {
	if p == nil {
		return
	}
	fill(&p.Min, int64(g.GetCount()))
	fill(&p.Max, -1)
	fill(&p.Enabled, true)
	fillZero(&p.Type, "horizontal")
	p.Target = map[string]string{"Namespace": j.GetNamespace(), "Job": j.GetID(), "Group": g.GetName()}
}

func canonicalizeNetworks(list []*NetworkResource) {
	for _, n := range list {
		fillZero(&n.Mode, NetworkModeHost)
		for i := range n.DynamicPorts {
			fillZero(&n.DynamicPorts[i].HostNetwork, HostNetworkName)
		}
		for i := range n.ReservedPorts {
			fillZero(&n.ReservedPorts[i].HostNetwork, HostNetworkName)
		}
	}
}

func (t *Task) canonicalize(j *Job, g *TaskGroup) {
	if t.Resources == nil {
		t.Resources = &Resources{}
	}
	t.Resources.canonicalize()
	fill(&t.KillTimeout, 5*time.Second)
	t.canonicalizeLogs()
	inherit(&t.RestartPolicy, g.RestartPolicy)
	t.canonicalizeIdentities()
	canonicalizeConstraints(t.Constraints)
	canonicalizeAffinities(t.Affinities)
	for _, s := range t.Services {
		s.canonicalize(j, g, t.Name)
	}
	for _, a := range t.Artifacts {
		a.canonicalize()
	}
	for _, tmpl := range t.Templates {
		tmpl.canonicalize()
	}
	for _, m := range t.VolumeMounts {
		fill(&m.ReadOnly, false)
		fillText(&m.PropagationMode, "private")
		fill(&m.SELinuxLabel, "")
	}
	t.Vault.canonicalize()
	if t.Consul != nil {
		fillZero(&t.Consul.Cluster, "default")
	}
	if c := t.CSIPluginConfig; c != nil {
		fillZero(&c.MountDir, "/csi")
		fillZero(&c.StagePublishBaseDir, "/local/csi")
		fillZero(&c.HealthTimeout, 30*time.Second)
	}
}

func (r *Resources) canonicalize() {
	if Value(r.Cores) > 0 {
		fill(&r.CPU, 0) // cores bring their own
	}
	def := DefaultResources()
	inherit(&r, def)
	canonicalizeNetworks(r.Networks)
	for _, d := range r.Devices {
		fill(&d.Count, 1)
		canonicalizeConstraints(d.Constraints)
		canonicalizeAffinities(d.Affinities)
	}
}

func (t *Task) canonicalizeLogs() {
	if c := t.LogConfig; c != nil && c.Enabled != nil {
		fill(&c.Disabled, !*c.Enabled)
		c.Enabled = nil
	}
	inherit(&t.LogConfig, DefaultLogConfig())
	t.LogConfig.Enabled = nil
}

// canonicalizeIdentities moves the identity without a name, or of the name
// "default", to its own place, and makes one if there is none.
func (t *Task) canonicalizeIdentities() {
	var named []*WorkloadIdentity
	for _, id := range t.Identities {
		if id.Name != "" && id.Name != IdentityDefaultName || t.Identity != nil {
			named = append(named, id)
			continue
		}
		t.Identity = id
	}
	t.Identities = named
	if t.Identity == nil {
		t.Identity = DefaultIdentity()
	}
	fillZero(&t.Identity.Name, IdentityDefaultName)
	if len(t.Identity.Audience) == 0 {
		t.Identity.Audience = []string{IdentityDefaultAudience}
	}
}

func (v *Vault) canonicalize() {
	if v == nil {
		return
	}
	fill(&v.Env, true)
	fill(&v.DisableFile, false)
	fill(&v.AllowTokenExpiration, false)
	fill(&v.Namespace, "")
	fillZero(&v.Cluster, "default")
	fillText(&v.ChangeMode, ChangeModeRestart)
	fillText(&v.ChangeSignal, "SIGHUP")
}

func (a *TaskArtifact) canonicalize() {
	fill(&a.GetterSource, "")
	fillText(&a.GetterMode, "any")
	fill(&a.GetterInsecure, false)
	if *a.GetterMode == "file" {
		fillText(&a.RelativeDest, "local/"+baseName(*a.GetterSource))
	}
	fillText(&a.RelativeDest, "local/")
}

func (t *Template) canonicalize() {
	fill(&t.SourcePath, "")
	fill(&t.DestPath, "")
	fill(&t.EmbeddedTmpl, "")
	fillText(&t.ChangeMode, ChangeModeRestart)
	if *t.ChangeMode == ChangeModeSignal {
		fillText(&t.ChangeSignal, "SIGHUP")
	}
	fill(&t.ChangeSignal, "")
	fill(&t.Once, false)
	fill(&t.Splay, 5*time.Second)
	fillText(&t.Perms, "0644")
	fillText(&t.LeftDelim, "{{")
	fillText(&t.RightDelim, "}}")
	fill(&t.Envvars, false)
	fill(&t.VaultGrace, 0)
	fill(&t.ErrMissingKey, false)
	if s := t.ChangeScript; s != nil {
		fill(&s.Command, "")
		fill(&s.Timeout, 5*time.Second)
		fill(&s.FailOnError, false)
		fill(&s.RunOnFirstRender, false)
	}
}
