package structs

// NodeDeviceResource is devices of one kind that a node has.
type NodeDeviceResource struct {
	Vendor     string
	Type       string
	Name       string
	Instances  []*NodeDevice
	Attributes map[string]*Attribute
}

// Kind returns the key of the devices' kind.
func (d *NodeDeviceResource) Kind() string { return DeviceKind(d.Vendor, d.Type, d.Name) }

// Kind returns the key of the devices' kind.
func (d *AllocatedDeviceResource) Kind() string { return DeviceKind(d.Vendor, d.Type, d.Name) }

// DeviceKind returns the key of a kind of devices, vendor/type/name.
func DeviceKind(vendor, kind, name string) string { return vendor + "/" + kind + "/" + name }

// NodeDevice is one device.
type NodeDevice struct {
	ID                string
	Healthy           bool
	HealthDescription string
	Locality          *NodeDeviceLocality
}

// NodeDeviceLocality is where a device sits.
type NodeDeviceLocality struct {
	PciBusID string
}

// Attribute is a typed value with a unit, of a device.
type Attribute struct {
	FloatVal  *float64 `json:"Float,omitempty"`
	IntVal    *int64   `json:"Int,omitempty"`
	StringVal *string  `json:"String,omitempty"`
	BoolVal   *bool    `json:"Bool,omitempty"`
	Unit      string
}
