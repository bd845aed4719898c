package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// ErrDigest says that what came is not what the server sent.
var ErrDigest = errors.New("what has come differs from what the server sent: try again")

// SaveSnapshot writes the state of the region to w. Only if it returns no error
// is that whole.
func (c *Client) SaveSnapshot(ctx context.Context, stale bool, w io.Writer) error {
	resp, err := c.call(ctx, http.MethodGet, "/v1/operator/snapshot", c.values(&Query{Stale: stale}), nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // read only
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(w, sum), resp.Body); err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	if resp.Header.Get("Digest") != "sha-256="+base64.StdEncoding.EncodeToString(sum.Sum(nil)) {
		return ErrDigest
	}
	return nil
}
