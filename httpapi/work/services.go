package work

import (
	"bytes"
	"crypto/sha256"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/steppe-run/steppe/httpapi/backend"
	"github.com/steppe-run/steppe/httpapi/door"
	"github.com/steppe-run/steppe/structs"
)

// ServicesList lists the names of services, by namespace; with healthy=true
// those that have an instance to which callers may be sent.
func ServicesList(c *door.Call, v backend.View) (door.Reply, error) {
	healthy, err := c.Flag("healthy")
	if err != nil {
		return door.Reply{}, err
	}
	byName := map[string]map[string]*namedService{}
	for s := range v.Services(c.Namespace) {
		names := byName[s.Namespace]
		if names == nil {
			names = map[string]*namedService{}
			byName[s.Namespace] = names
		}
		if names[s.ServiceName] == nil {
			names[s.ServiceName] = &namedService{tags: map[string]bool{}}
		}
		names[s.ServiceName].add(s, healthy)
	}
	stubs := []*structs.ServiceRegistrationListStub{}
	for _, ns := range door.Sorted(byName) {
		stub := &structs.ServiceRegistrationListStub{Namespace: ns}
		for _, name := range door.Sorted(byName[ns]) {
			if s := byName[ns][name]; s.healthy > 0 || !healthy {
				stub.Services = append(stub.Services, &structs.ServiceRegistrationStub{
					ServiceName: name, Tags: door.Sorted(s.tags), Instances: s.instances, Healthy: s.healthy,
				})
			}
		}
		if len(stub.Services) > 0 {
			stubs = append(stubs, stub)
		}
	}
	return door.Reply{Value: stubs, Index: c.IndexOf(v)}, nil
}

// namedService is what the instances of one name come to.
type namedService struct {
	tags               map[string]bool
	instances, healthy int
}

// add counts an instance; its tags are those of the service unless only healthy
// ones are asked for.
func (n *namedService) add(s *structs.ServiceRegistration, healthy bool) {
	n.instances++
	if s.Healthy() {
		n.healthy++
	} else if healthy {
		return
	}
	for _, tag := range s.Tags {
		n.tags[tag] = true
	}
}

// ServiceRead lists the instances of one service, or a choice of them; with
// healthy=true only those to which callers may be sent.
func ServiceRead(c *door.Call, v backend.View) (door.Reply, error) {
	healthy, err := c.Flag("healthy")
	if err != nil {
		return door.Reply{}, err
	}
	instances := v.ServicesByName(c.Namespace, c.Param("name"))
	if healthy {
		instances = door.Where(instances, (*structs.ServiceRegistration).Healthy)
	}
	if text := c.Query.Get("choose"); text != "" {
		n, key, err := parseChoice(text)
		if err != nil {
			return door.Reply{}, err
		}
		return door.Reply{Value: choose(door.All(instances, door.Same[*structs.ServiceRegistration]), n, key), Index: c.IndexOf(v)}, nil
	}
	return door.List(c, v, instances, door.Listing[*structs.ServiceRegistration, *structs.ServiceRegistration]{
		Order: door.ByID,
		Key:   func(s *structs.ServiceRegistration) door.Key { return door.Key{Last: s.ID} },
		Show:  door.Same[*structs.ServiceRegistration],
	})
}

// parseChoice reads "<n>|<key>".
func parseChoice(text string) (n int, key string, err error) {
	count, key, cut := strings.Cut(text, "|")
	n, err = strconv.Atoi(count)
	if err != nil || !cut || n < 1 || key == "" {
		return 0, "", door.Refuse(http.StatusBadRequest, "choose must be of the form '<number>|<key>'")
	}
	return n, key, nil
}

// choose picks n instances so that one key keeps its picks while instances
// come and go: each instance draws a number from the key, the lowest win.
func choose(instances []*structs.ServiceRegistration, n int, key string) []*structs.ServiceRegistration {
	draw := func(s *structs.ServiceRegistration) []byte {
		h := sha256.Sum256([]byte(key + "\x00" + s.ID))
		return h[:]
	}
	slices.SortFunc(instances, func(a, b *structs.ServiceRegistration) int { return bytes.Compare(draw(a), draw(b)) })
	return instances[:min(n, len(instances))]
}

// ServiceDelete removes one registration by hand.
func ServiceDelete(c *door.Call) (door.Reply, error) {
	return door.Done(c.Server().DeleteServiceRegistration(c.Ctx(), c.Namespace, c.Param("name"), c.Param("service_id")))
}
