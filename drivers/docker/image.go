//go:build linux

package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/docker/credential"
	"github.com/steppe-run/steppe/drivers/docker/pull"
)

const (
	// progressFirst is after how long a download tells how far it is, and
	// progressMost the longest pause until it does again.
	progressFirst = 10 * time.Second
	progressMost  = time.Minute
	// helperTimeout bounds a credential helper.
	helperTimeout = 20 * time.Second
	// maxReference bounds an image's name.
	maxReference = 1024
)

// wish is an image that has to be present.
type wish struct {
	image        string
	force        bool
	auth         *taskAuth
	authSoftFail bool
	timeout      time.Duration
	// tell takes words on what is done.
	tell func(message string)
}

func wishOf(d *Driver, t *drivers.TaskConfig, c *taskConfig, plugin *pluginConfig) (*wish, error) {
	w := &wish{
		image: c.Image, force: c.ForcePull, auth: c.Auth, authSoftFail: c.AuthSoftFail, timeout: plugin.imagePullTimeout,
		tell: func(message string) { d.tell(t, message, map[string]string{"image": c.Image}) },
	}
	if c.ImagePullTimeout != "" {
		v, err := time.ParseDuration(c.ImagePullTimeout)
		if err != nil || v <= 0 {
			return nil, fmt.Errorf("image_pull_timeout: %q is not a duration such as 5m", c.ImagePullTimeout)
		}
		w.timeout = v
	}
	return w, checkReference(c.Image)
}

// checkReference refuses what names no image, before anybody is asked for it.
func checkReference(image string) error {
	if len(image) > maxReference {
		return fmt.Errorf("image: a name of %d bytes is too long", len(image))
	}
	if _, err := reference.ParseAnyReference(image); err != nil {
		return fmt.Errorf("image %q: %s", image, strings.Join(strings.Fields(err.Error()), " "))
	}
	return nil
}

// ensureImage makes the task's image present and returns its id, which counts
// as used from then on: let go of it by release.
func (d *Driver) ensureImage(ctx context.Context, t *drivers.TaskConfig, c *taskConfig) (string, error) {
	engine, plugin, err := d.api()
	if err != nil {
		return "", err
	}
	w, err := wishOf(d, t, c, plugin)
	if err != nil {
		return "", err
	}
	if c.Load == "" {
		return d.obtain(ctx, engine, plugin, w)
	}
	if err := d.load(ctx, engine, t, c); err != nil {
		return "", err
	}
	id, err := d.images.hold(ctx, engine, c.Image)
	if errdefs.IsNotFound(err) {
		return "", fmt.Errorf("the archive %s doesn't hold the image %s: check the names inside it", c.Load, c.Image)
	}
	return id, classifyImage(c.Image, err)
}

func classifyImage(image string, err error) error {
	if err == nil {
		return nil
	}
	out := fmt.Errorf("inspect image %s: %w", image, err)
	if errdefs.IsInvalidArgument(err) {
		return out
	}
	return drivers.Recoverable(out)
}

// obtain downloads an image unless it is here already and its name doesn't move.
func (d *Driver) obtain(ctx context.Context, engine *client.Client, plugin *pluginConfig, w *wish) (string, error) {
	here, err := d.images.hold(ctx, engine, w.image)
	if err == nil && !w.force && !isLatest(w.image) {
		return here, nil
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return "", classifyImage(w.image, err)
	}
	if err := d.pull(ctx, engine, plugin, w); err != nil {
		if here != "" && !w.force && ctx.Err() == nil {
			// The newest can't be had; what is here is what `latest` was.
			w.tell("Image can't be refreshed, the local one is used: " + err.Error())
			return here, nil
		}
		d.release(here)
		return "", err
	}
	id, err := d.images.hold(ctx, engine, w.image)
	d.release(here)
	return id, classifyImage(w.image, err)
}

// isLatest reports whether a reference moves: it has no tag or says latest.
func isLatest(image string) bool {
	if _, err := reference.ParseAnyReference(image); err == nil && isID(image) {
		return false
	}
	ref, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return false
	}
	if _, ok := ref.(reference.Digested); ok {
		return false
	}
	tagged, ok := ref.(reference.Tagged)
	return !ok || tagged.Tag() == "latest"
}

// isID reports whether a reference is an image's id, which no registry knows.
func isID(image string) bool {
	ref, err := reference.ParseAnyReference(image)
	if err != nil {
		return false
	}
	_, named := ref.(reference.Named)
	return !named
}

// load gives the engine an archive from the task's local directory.
func (d *Driver) load(ctx context.Context, engine *client.Client, t *drivers.TaskConfig, c *taskConfig) error {
	// The directory is the task's: nothing outside may be read through it.
	root, err := os.OpenRoot(filepath.Join(t.TaskDir(), "local"))
	if err != nil {
		return fmt.Errorf("load image: %w", err)
	}
	defer func() { _ = root.Close() }()
	archive, err := root.Open(filepath.Clean(strings.TrimPrefix(c.Load, "local/")))
	if err != nil {
		return fmt.Errorf("load image: %w: the archive must lie in the task's local directory", err)
	}
	defer func() { _ = archive.Close() }()
	if info, err := archive.Stat(); err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("load image: %s is not a file", c.Load)
	}
	ctx, cancel := context.WithTimeout(ctx, slow)
	defer cancel()
	answer, err := engine.ImageLoad(ctx, archive, client.ImageLoadWithQuiet(true))
	if err != nil {
		return drivers.Recoverable(fmt.Errorf("load image from %s: %w", c.Load, err))
	}
	defer func() { _ = answer.Close() }()
	for decoder := json.NewDecoder(answer); ; {
		var message struct {
			Error string `json:"error"`
		}
		if err := decoder.Decode(&message); err != nil {
			break // its end
		}
		if message.Error != "" {
			return fmt.Errorf("load image from %s: %s", c.Load, message.Error)
		}
	}
	d.tell(t, "Image loaded from "+c.Load, map[string]string{"image": c.Image})
	return nil
}

// pull downloads an image, with the login that the task or the node has for its
// registry.
func (d *Driver) pull(ctx context.Context, engine *client.Client, plugin *pluginConfig, w *wish) error {
	if isID(w.image) {
		return fmt.Errorf("image %s isn't on this node: an id can't be downloaded, name the image and its digest", w.image)
	}
	auth, err := login(ctx, w, plugin)
	if err != nil && !w.authSoftFail {
		return err
	}
	if err != nil {
		w.tell("No login for the registry, going on without: " + err.Error())
	}
	w.tell("Downloading image")
	request := pull.Request{Image: w.image, Auth: auth, Timeout: w.timeout, Stall: plugin.pullActivityTimeout, Tell: w.tell}
	err = d.puller.Pull(ctx, engine, request)
	if refused(err) && auth != "" && w.authSoftFail {
		w.tell("The registry refuses the login, going on without")
		request.Auth = ""
		err = d.puller.Pull(ctx, engine, request)
	}
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	out := fmt.Errorf("failed to pull image %s: %w", w.image, err)
	// What the registry says about the image is final; its absence isn't.
	if refused(err) || errdefs.IsNotFound(err) || errdefs.IsInvalidArgument(err) || strings.Contains(err.Error(), "manifest unknown") {
		return fmt.Errorf("%w: check the image's name and tag, and auth if it is private", out)
	}
	return drivers.Recoverable(out)
}

// refused reports whether a registry wants another login, or any. The engine
// passes on only words.
func refused(err error) bool {
	if err == nil {
		return false
	}
	for _, words := range []string{"access denied", "unauthorized", "no basic auth credentials", "denied: ", "authentication required"} {
		if strings.Contains(err.Error(), words) {
			return true
		}
	}
	return errdefs.IsUnauthorized(err) || errdefs.IsPermissionDenied(err)
}

// login is the task's login for the registry, or the node's, as the engine
// wants it; empty if there is none.
func login(ctx context.Context, w *wish, plugin *pluginConfig) (string, error) {
	if a := w.auth; a != nil && (a.Username != "" || a.Password != "") {
		return authconfig.Encode(registry.AuthConfig{Username: a.Username, Password: a.Password, ServerAddress: a.ServerAddress})
	}
	if plugin.Auth == nil {
		return "", nil
	}
	ref, err := reference.ParseNormalizedNamed(w.image)
	if err != nil {
		return "", err
	}
	found, err := plugin.Auth.source().Find(ctx, reference.Domain(ref))
	if err != nil || found == nil {
		return "", err
	}
	return authconfig.Encode(registry.AuthConfig{
		Username: found.Username, Password: found.Password, IdentityToken: found.IdentityToken, ServerAddress: found.Server,
	})
}

func (a *authFiles) source() credential.Source {
	return credential.Source{File: a.Config, Helper: a.Helper, Timeout: helperTimeout}
}
