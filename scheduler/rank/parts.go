package rank

import "github.com/steppe-run/steppe/structs"

// Counted returns the parts of which a score is the mean. Explanations hold
// some that are 0 because they are absent; those of the affinities count even
// then, if the group has any.
func Counted(parts structs.ScoreParts, affinities bool) map[string]float64 {
	out := parts.Map()
	for _, name := range []string{NameAntiAffinity, NameReschedulePenalty, NameAffinity} {
		if out[name] == 0 && (name != NameAffinity || !affinities) {
			delete(out, name)
		}
	}
	return out
}

// Affinities reports whether affinities are a part of the scores of a group.
func Affinities(job *structs.Job, group *structs.TaskGroup) bool {
	if job == nil || group == nil {
		return false
	}
	if len(job.Affinities)+len(group.Affinities) > 0 {
		return true
	}
	for _, t := range group.Tasks {
		if len(t.Affinities) > 0 {
			return true
		}
	}
	return false
}
