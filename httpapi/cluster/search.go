package cluster

import (
	"net/http"
	"slices"
	"strings"

	"github.com/steppe-run/steppe/httpapi/backend"
	"github.com/steppe-run/steppe/httpapi/door"
	"github.com/steppe-run/steppe/server"
	"github.com/steppe-run/steppe/structs"
)

const (
	prefixMatches = 20  // a context
	fuzzyMatches  = 100 // a context
	fuzzyMinimum  = 2   // characters
)

// searchSources yields the IDs of each context that begin with a prefix.
var searchSources = map[string]func(c *door.Call, v backend.View, prefix string, yield func(id string) bool){
	structs.SearchAllocs: func(c *door.Call, v backend.View, prefix string, yield func(string) bool) {
		v.Allocs(c.Namespace, prefix)(func(a *structs.Allocation) bool { return yield(a.ID) })
	},
	structs.SearchDeployments: func(c *door.Call, v backend.View, prefix string, yield func(string) bool) {
		v.Deployments(c.Namespace, prefix)(func(d *structs.Deployment) bool { return yield(d.ID) })
	},
	structs.SearchEvals: func(c *door.Call, v backend.View, prefix string, yield func(string) bool) {
		v.Evals(c.Namespace, prefix)(func(e *structs.Evaluation) bool { return yield(e.ID) })
	},
	structs.SearchJobs: func(c *door.Call, v backend.View, prefix string, yield func(string) bool) {
		v.Jobs(c.Namespace, prefix)(func(j *structs.Job) bool { return yield(j.GetID()) })
	},
	structs.SearchNodes: func(_ *door.Call, v backend.View, prefix string, yield func(string) bool) {
		v.Nodes(prefix)(func(n *structs.Node) bool { return yield(n.ID) })
	},
	structs.SearchNodePools: func(_ *door.Call, v backend.View, prefix string, yield func(string) bool) {
		v.NodePools(prefix)(func(p *structs.NodePool) bool { return yield(p.Name) })
	},
	structs.SearchNamespaces: func(_ *door.Call, v backend.View, prefix string, yield func(string) bool) {
		v.Namespaces(prefix)(func(n *structs.Namespace) bool { return yield(n.Name) })
	},
}

// Search finds objects of any kind by the beginning of their ID.
func Search(c *door.Call, v backend.View) (door.Reply, error) {
	var req structs.SearchRequest
	if err := c.DecodeOnce(&req); err != nil {
		return door.Reply{}, err
	}
	contexts, err := searchContexts(req.Context, searchSources)
	if err != nil {
		return door.Reply{}, err
	}
	out := &structs.SearchResponse{Matches: map[string][]string{}, Truncations: map[string]bool{}}
	for _, context := range contexts {
		ids := []string{}
		searchSources[context](c, v, req.Prefix, func(id string) bool {
			if len(ids) == prefixMatches {
				out.Truncations[context] = true
				return false
			}
			ids = append(ids, id)
			return true
		})
		out.Matches[context] = ids
		if !out.Truncations[context] {
			out.Truncations[context] = false
		}
	}
	index := c.IndexOf(v)
	out.QueryMeta = c.QueryMeta(index)
	return door.Reply{Value: out, Index: index}, nil
}

func searchContexts[F any](asked string, known map[string]F) ([]string, error) {
	if asked == structs.SearchAll || asked == "" {
		return door.Sorted(known), nil
	}
	if _, ok := known[asked]; !ok {
		return nil, door.Refuse(http.StatusBadRequest, "context %q can't be searched: use %s or %s", asked, structs.SearchAll, strings.Join(door.Sorted(known), ", "))
	}
	return []string{asked}, nil
}

// found is one object that a fuzzy search may match, by its name.
type found struct {
	name  string
	id    string
	scope []string
}

// fuzzySources yields the names of each context.
var fuzzySources = map[string]func(c *door.Call, v backend.View, yield func(found) bool){
	structs.SearchNodes: func(_ *door.Call, v backend.View, yield func(found) bool) {
		v.Nodes("")(func(n *structs.Node) bool { return yield(found{name: n.Name, id: n.Name, scope: []string{n.ID}}) })
	},
	structs.SearchClasses: func(_ *door.Call, v backend.View, yield func(found) bool) {
		v.Nodes("")(func(n *structs.Node) bool {
			return yield(found{name: n.NodeClass, id: n.NodeClass, scope: []string{n.ID}})
		})
	},
	structs.SearchNodePools: func(_ *door.Call, v backend.View, yield func(found) bool) {
		v.NodePools("")(func(p *structs.NodePool) bool { return yield(found{name: p.Name, id: p.Name}) })
	},
	structs.SearchNamespaces: func(_ *door.Call, v backend.View, yield func(found) bool) {
		v.Namespaces("")(func(n *structs.Namespace) bool { return yield(found{name: n.Name, id: n.Name}) })
	},
	structs.SearchAllocs: func(c *door.Call, v backend.View, yield func(found) bool) {
		v.Allocs(c.Namespace, "")(func(a *structs.Allocation) bool {
			return yield(found{name: a.Name, id: a.Name, scope: []string{a.Namespace, a.ID}})
		})
	},
	structs.SearchJobs: func(c *door.Call, v backend.View, yield func(found) bool) {
		v.Jobs(c.Namespace, "")(func(j *structs.Job) bool {
			return yield(found{name: j.GetName(), id: j.GetName(), scope: []string{j.GetNamespace(), j.GetID()}})
		})
	},
	structs.SearchGroups:   partsOfJobs(groupNames),
	structs.SearchTasks:    partsOfJobs(taskNames),
	structs.SearchServices: partsOfJobs(serviceNames),
	structs.SearchImages:   partsOfJobs(configNames("image")),
	structs.SearchCommands: partsOfJobs(configNames("command")),
}

// partsOfJobs yields what parts names in every job.
func partsOfJobs(parts func(j *structs.Job, yield func(name string, scope ...string) bool) bool) func(*door.Call, backend.View, func(found) bool) {
	return func(c *door.Call, v backend.View, yield func(found) bool) {
		for j := range v.Jobs(c.Namespace, "") {
			ok := parts(j, func(name string, scope ...string) bool {
				return yield(found{name: name, id: name, scope: append([]string{j.GetNamespace(), j.GetID()}, scope...)})
			})
			if !ok {
				return
			}
		}
	}
}

func groupNames(j *structs.Job, yield func(string, ...string) bool) bool {
	for _, g := range j.TaskGroups {
		if !yield(g.GetName()) {
			return false
		}
	}
	return true
}

func taskNames(j *structs.Job, yield func(string, ...string) bool) bool {
	for _, g := range j.TaskGroups {
		for _, t := range g.Tasks {
			if !yield(t.Name, g.GetName()) {
				return false
			}
		}
	}
	return true
}

func serviceNames(j *structs.Job, yield func(string, ...string) bool) bool {
	for _, g := range j.TaskGroups {
		for _, s := range g.Services {
			if !yield(s.Name, g.GetName()) {
				return false
			}
		}
		for _, t := range g.Tasks {
			for _, s := range t.Services {
				if !yield(s.Name, g.GetName(), t.Name) {
					return false
				}
			}
		}
	}
	return true
}

// configNames yields a text of each task's driver configuration.
func configNames(field string) func(*structs.Job, func(string, ...string) bool) bool {
	return func(j *structs.Job, yield func(string, ...string) bool) bool {
		for _, g := range j.TaskGroups {
			for _, t := range g.Tasks {
				if text, ok := t.Config[field].(string); ok && !yield(text, g.GetName(), t.Name) {
					return false
				}
			}
		}
		return true
	}
}

// FuzzySearch finds objects by a part of their name.
func FuzzySearch(c *door.Call, v backend.View) (door.Reply, error) {
	var req structs.FuzzySearchRequest
	if err := c.DecodeOnce(&req); err != nil {
		return door.Reply{}, err
	}
	if len(req.Text) < fuzzyMinimum {
		return door.Reply{}, door.Refuse(http.StatusInternalServerError, "fuzzy search query must be at least %d characters, got %d", fuzzyMinimum, len(req.Text))
	}
	contexts, err := searchContexts(req.Context, fuzzySources)
	if err != nil {
		return door.Reply{}, err
	}
	text := strings.ToLower(req.Text)
	out := &structs.FuzzySearchResponse{Matches: map[string][]structs.FuzzyMatch{}, Truncations: map[string]bool{}}
	for _, context := range contexts {
		matches := fuzzyIn(c, v, context, text)
		if len(matches) == 0 {
			continue
		}
		out.Truncations[context] = len(matches) > fuzzyMatches
		out.Matches[context] = matches[:min(len(matches), fuzzyMatches)]
	}
	index := c.IndexOf(v)
	out.QueryMeta = c.QueryMeta(index)
	return door.Reply{Value: out, Index: index}, nil
}

// fuzzyIn returns the matches of one context, the best first: the earlier in
// its name the text stands, and the shorter the name, the better.
func fuzzyIn(c *door.Call, v backend.View, context, text string) []structs.FuzzyMatch {
	type scored struct {
		at, length int
		match      structs.FuzzyMatch
	}
	var hits []scored
	fuzzySources[context](c, v, func(f found) bool {
		if at := strings.Index(strings.ToLower(f.name), text); at >= 0 {
			hits = append(hits, scored{at, len(f.name), structs.FuzzyMatch{ID: f.id, Scope: f.scope}})
		}
		return true
	})
	slices.SortStableFunc(hits, func(a, b scored) int {
		if a.at != b.at {
			return a.at - b.at
		}
		if a.length != b.length {
			return a.length - b.length
		}
		return strings.Compare(a.match.ID, b.match.ID)
	})
	out := make([]structs.FuzzyMatch, 0, len(hits))
	for _, h := range hits {
		out = append(out, h.match)
	}
	return out
}

// SearchTables are what a search may find something in.
var SearchTables = []server.Table{
	server.TableJobs, server.TableNodes, server.TableAllocs, server.TableEvals,
	server.TableDeployments, server.TableNodePools, server.TableNamespaces,
}
