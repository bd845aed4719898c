package httpapi

import (
	"bytes"
	"crypto/sha256"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/steppe-run/steppe/structs"
)

// servicesList lists the names of services, by namespace.
func servicesList(c *call, v View) (reply, error) {
	byName := map[string]map[string]map[string]bool{}
	for s := range v.Services(c.namespace) {
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
	for _, ns := range sorted(byName) {
		stub := &structs.ServiceRegistrationListStub{Namespace: ns}
		for _, name := range sorted(byName[ns]) {
			stub.Services = append(stub.Services, &structs.ServiceRegistrationStub{ServiceName: name, Tags: sorted(byName[ns][name])})
		}
		stubs = append(stubs, stub)
	}
	return reply{value: stubs, index: c.indexOf(v)}, nil
}

// sorted returns a map's keys in order, never null.
func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// serviceRead lists the instances of one service, or a choice of them.
func serviceRead(c *call, v View) (reply, error) {
	instances := v.ServicesByName(c.namespace, c.param("name"))
	if text := c.query.Get("choose"); text != "" {
		n, key, err := parseChoice(text)
		if err != nil {
			return reply{}, err
		}
		return reply{value: choose(all(instances, same[*structs.ServiceRegistration]), n, key), index: c.indexOf(v)}, nil
	}
	return list(c, v, instances, listing[*structs.ServiceRegistration, *structs.ServiceRegistration]{
		order: byID,
		key:   func(s *structs.ServiceRegistration) key { return key{last: s.ID} },
		show:  same[*structs.ServiceRegistration],
	})
}

// parseChoice reads "<n>|<key>".
func parseChoice(text string) (n int, key string, err error) {
	count, key, cut := strings.Cut(text, "|")
	n, err = strconv.Atoi(count)
	if err != nil || !cut || n < 1 || key == "" {
		return 0, "", refuse(http.StatusBadRequest, "choose must be of the form '<number>|<key>'")
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

// serviceDelete removes one registration by hand.
func serviceDelete(c *call) (reply, error) {
	return done(c.api.cfg.Server.DeleteServiceRegistration(c.ctx(), c.namespace, c.param("name"), c.param("service_id")))
}
