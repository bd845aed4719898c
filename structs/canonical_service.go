package structs

import (
	"path"
	"strings"
	"time"
)

// canonicalize fills a service of a group, or of a task if one is named.
func (s *Service) canonicalize(j *Job, g *TaskGroup, task string) {
	base := j.GetID() + "-" + g.GetName()
	if task != "" {
		base += "-" + task
		s.TaskName = task
	}
	fillZero(&s.Name, base)
	s.Name = strings.NewReplacer(
		"${JOB}", j.GetName(), "${TASKGROUP}", g.GetName(), "${TASK}", task, "${BASE}", base,
	).Replace(s.Name)
	fillZero(&s.Provider, ServiceProviderConsul)
	fillZero(&s.AddressMode, AddressModeAuto)
	fillZero(&s.OnUpdate, OnUpdateRequireHealthy)
	fillZero(&s.Cluster, "default")
	fillZero(&s.Namespace, j.GetNamespace())
	for i := range s.Checks {
		s.Checks[i].canonicalize(s)
	}
	s.CheckRestart.canonicalize()
	if id := s.Identity; id != nil {
		id.ServiceName = s.Name
	}
}

func (c *ServiceCheck) canonicalize(s *Service) {
	fillZero(&c.Name, `service: "`+s.Name+`" check`)
	fillZero(&c.OnUpdate, s.OnUpdate)
	if s.CheckRestart != nil {
		if c.CheckRestart == nil {
			c.CheckRestart = &CheckRestart{}
		}
		fillZero(&c.CheckRestart.Limit, s.CheckRestart.Limit)
		if c.CheckRestart.Grace == nil {
			c.CheckRestart.Grace = deepCopy(s.CheckRestart.Grace)
		}
		c.CheckRestart.IgnoreWarnings = c.CheckRestart.IgnoreWarnings || s.CheckRestart.IgnoreWarnings
	}
	c.CheckRestart.canonicalize()
}

func (r *CheckRestart) canonicalize() {
	if r != nil {
		fill(&r.Grace, time.Second)
	}
}

// baseName is the last part of a URL's path, "" if there is none.
func baseName(url string) string {
	url, _, _ = strings.Cut(url, "?")
	if name := path.Base(url); name != "." && name != "/" {
		return name
	}
	return ""
}
