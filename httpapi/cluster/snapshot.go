package cluster

import (
	"encoding/base64"
	"io"
	"net/http"
	"strconv"

	"github.com/steppe-run/steppe/httpapi/door"
)

// SnapshotSave sends the state of the region, as one file with its digest.
func SnapshotSave(c *door.Call) (door.Reply, error) {
	saved, err := c.Server().SaveState(c.Ctx())
	if err != nil {
		return door.Reply{}, err
	}
	defer saved.Close() //nolint:errcheck // it was only read
	h := c.Writer.Header()
	h.Set("Content-Type", "application/x-gzip")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Digest", "sha-256="+base64.StdEncoding.EncodeToString(saved.Digest[:]))
	h.Set("Content-Length", strconv.FormatInt(saved.Size, 10))
	h.Set("X-Nomad-Index", strconv.FormatUint(saved.Index, 10))
	c.Writer.WriteHeader(http.StatusOK)
	_, _ = io.Copy(c.Writer, saved) // whoever hangs up finds too little
	return door.Reply{Sent: true}, nil
}
