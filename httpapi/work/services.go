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

// ServicesList lists the names of services, by namespace.
func ServicesList(c *door.Call, v backend.View) (door.Reply, error) {
	byName := map[string]map[string]map[string]bool{}
	for s := range v.Services(c.Namespace) {
		names := byName[s.Namespace]
		if names == nil {
			names = map[string]map[string]bool{}
			byName[s.Namespace] = names
		}
		tags := names[s.ServiceName]
		if tags == nil {
			tags = map[string]bool{}
			names[s.ServiceName] = tags
		}
		for _, tag := range s.Tags {
			tags[tag] = true
		}
	}
	stubs := []*structs.ServiceRegistrationListStub{}
	for _, ns := range door.Sorted(byName) {
		stub := &structs.ServiceRegistrationListStub{Namespace: ns}
		for _, name := range door.Sorted(byName[ns]) {
			stub.Services = append(stub.Services, &structs.ServiceRegistrationStub{ServiceName: name, Tags: door.Sorted(byName[ns][name])})
		}
		stubs = append(stubs, stub)
	}
	return door.Reply{Value: stubs, Index: c.IndexOf(v)}, nil
}

// ServiceRead lists the instances of one service, or a choice of them.
func ServiceRead(c *door.Call, v backend.View) (door.Reply, error) {
	instances := v.ServicesByName(c.Namespace, c.Param("name"))
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
