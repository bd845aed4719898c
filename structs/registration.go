package structs

import (
	"reflect"
	"slices"
)

// ServiceRegistration is where one instance of a service can be reached.
type ServiceRegistration struct {
	ID          string
	ServiceName string
	Namespace   string
	NodeID      string
	Datacenter  string
	JobID       string
	AllocID     string
	Tags        []string
	Address     string
	Port        int
	CreateIndex uint64
	ModifyIndex uint64
	// Health is the worst status among the instance's checks, as its node has
	// told last: CheckStatusSuccess and so on, empty without checks.
	Health string `json:",omitempty"`
}

// Healthy reports whether callers may be sent to the instance: its checks are
// well, or all but, or it has none.
func (r *ServiceRegistration) Healthy() bool {
	return r.Health == "" || r.Health == CheckStatusSuccess || r.Health == CheckStatusWarning
}

// Same reports whether two registrations say the same. When they were written
// doesn't count, and a health that isn't known yet takes none back.
func (r *ServiceRegistration) Same(known *ServiceRegistration) bool {
	if known == nil {
		return false
	}
	a, b := *r, *known
	a.CreateIndex, a.ModifyIndex = b.CreateIndex, b.ModifyIndex
	if a.Health == CheckStatusPending {
		a.Health = b.Health
	}
	a.Tags, b.Tags = nil, nil
	return slices.Equal(r.Tags, known.Tags) && reflect.DeepEqual(a, b)
}

// ServiceRegistrationListStub is a namespace's services in a list.
type ServiceRegistrationListStub struct {
	Namespace string
	Services  []*ServiceRegistrationStub
}

// ServiceRegistrationStub is a service in a list.
type ServiceRegistrationStub struct {
	ServiceName string
	Tags        []string
	// Instances counts all there are, Healthy those that callers may be sent to.
	Instances int `json:",omitempty"`
	Healthy   int `json:",omitempty"`
}

// AllocCheckStatus is the last result of a check.
type AllocCheckStatus struct {
	ID         string
	Check      string
	Group      string
	Mode       string
	Output     string
	Service    string
	Task       string
	Status     string
	StatusCode int
	Timestamp  int64
	// IgnoreWarnings says, on the node alone, that a warning is good enough for
	// the health of the allocation.
	IgnoreWarnings bool `json:"-"`
}
