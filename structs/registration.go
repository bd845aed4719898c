package structs

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

type ServiceRegistrationListStub struct {
	Namespace string
	Services  []*ServiceRegistrationStub
}

type ServiceRegistrationStub struct {
	ServiceName string
	Tags        []string
}

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
}
