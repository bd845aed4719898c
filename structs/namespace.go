package structs

type Namespace struct {
	Name                  string
	Description           string
	Quota                 string
	Capabilities          *NamespaceCapabilities
	NodePoolConfiguration *NamespaceNodePoolConfiguration
	VaultConfiguration    *NamespaceVaultConfiguration
	ConsulConfiguration   *NamespaceConsulConfiguration
	Meta                  map[string]string
	CreateIndex           uint64
	ModifyIndex           uint64
	RequiredExtraClaims   map[string]string
	OptionalExtraClaims   map[string]string
}

type NamespaceCapabilities struct {
	EnabledTaskDrivers   []string
	DisabledTaskDrivers  []string
	EnabledNetworkModes  []string
	DisabledNetworkModes []string
}

type NamespaceNodePoolConfiguration struct {
	Default string
	Allowed []string
	Denied  []string
}

type NamespaceVaultConfiguration struct {
	Default string
	Allowed []string
	Denied  []string
}

type NamespaceConsulConfiguration struct {
	Default string
	Allowed []string
	Denied  []string
}
