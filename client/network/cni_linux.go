package network

import (
	"context"
	"fmt"

	"github.com/steppe-run/steppe/structs"
)

func (m *Manager) intendCNI(w Wanted) (*cniRecord, error) {
	return nil, fmt.Errorf("network mode %q is not built yet in this release", w.Mode)
}

func (m *Manager) addCNI(context.Context, *record) (*structs.AllocNetworkStatus, error) {
	return nil, nil
}

func (m *Manager) delCNI(context.Context, *record) error { return nil }
