package server

import (
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/steppe-run/steppe/internal/testx"
)

// TestASavedStateLeavesNothingBehind reads it whole, and looks at the folder.
func TestASavedStateLeavesNothingBehind(t *testing.T) {
	srv := startReal(t, realConfig(t, "one", t.TempDir(), 1))
	testx.Eventually(t, 10*time.Second, "the server leads", srv.leads)
	saved, err := srv.SaveState(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(saved.Name()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it has a name: %v", err)
	}
	data, err := io.ReadAll(saved)
	if err != nil || int64(len(data)) != saved.Size || sha256.Sum256(data) != saved.Digest || saved.Index > srv.store.Index() {
		t.Errorf("%d bytes of %d as of %d: %v", len(data), saved.Size, saved.Index, err)
	}
	if info, err := saved.Stat(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := saved.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(srv.cfg.DataDir, "snapshot-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
