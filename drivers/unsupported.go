package drivers

import "context"

// NoNetwork is embedded by drivers that make no network namespaces.
type NoNetwork struct{}

// CreateNetwork returns ErrUnsupported.
func (NoNetwork) CreateNetwork(context.Context, string, string) (*NetworkIsolation, bool, error) {
	return nil, false, ErrUnsupported
}

// DestroyNetwork returns ErrUnsupported.
func (NoNetwork) DestroyNetwork(context.Context, string, *NetworkIsolation) error {
	return ErrUnsupported
}
