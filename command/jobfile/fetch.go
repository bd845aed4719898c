package jobfile

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// fetchWithin bounds the fetching of a job file, its last byte included.
const fetchWithin = time.Minute

// isURL tells a job file elsewhere from a path.
func isURL(path string) bool { return strings.Contains(path, "://") }

// fetch reads a job file by its URL.
func fetch(ctx context.Context, address string) (string, error) {
	target, err := url.Parse(address)
	if err != nil {
		return "", fmt.Errorf("read URL: %w", err)
	}
	if target.Scheme != "http" && target.Scheme != "https" || target.Host == "" {
		return "", fmt.Errorf("%s can't be fetched: only http:// and https:// can", target.Redacted())
	}
	ctx, cancel := context.WithTimeout(ctx, fetchWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return "", fmt.Errorf("fetch %s: %w", target.Redacted(), err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("fetch job file: %w", err) // names the URL
	}
	defer func() { _ = resp.Body.Close() }() // only read
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("fetch %s: the server answered %s", target.Redacted(), resp.Status)
	}
	return readBounded(resp.Body, target.Redacted())
}

// readBounded reads a job file of a size that can be one.
func readBounded(in io.Reader, name string) (string, error) {
	data, err := io.ReadAll(io.LimitReader(in, maxSourceBytes+1))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	if len(data) > maxSourceBytes {
		return "", fmt.Errorf("%s is larger than %d bytes", name, maxSourceBytes)
	}
	return string(data), nil
}
