package structs

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
