//go:build linux

package docker

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
)

// progressEvery is how often a long download tells how far it is.
const progressEvery = 10 * time.Second

// ensureImage makes the task's image present and returns its id.
func (d *Driver) ensureImage(ctx context.Context, t *drivers.TaskConfig, c *taskConfig) (string, error) {
	engine, plugin, err := d.api()
	if err != nil {
		return "", err
	}
	if _, err := reference.ParseAnyReference(c.Image); err != nil {
		return "", fmt.Errorf("image %q: %w", c.Image, err)
	}
	if c.Load != "" {
		if err := d.load(ctx, engine, t, c); err != nil {
			return "", err
		}
	}
	id, err := imageID(ctx, engine, c.Image)
	if err == nil && (c.Load != "" || !c.ForcePull && !isLatest(c.Image)) {
		return id, nil
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return "", drivers.Recoverable(fmt.Errorf("inspect image %s: %w", c.Image, err))
	}
	if c.Load != "" {
		return "", fmt.Errorf("the archive %s doesn't hold the image %s: check the names inside it", c.Load, c.Image)
	}
	known := err == nil
	if err := d.pull(ctx, engine, plugin, t, c); err != nil {
		if known && !c.ForcePull {
			// The newest can't be had; what is here is what `latest` was.
			d.tell(t, "Image can't be refreshed, the local one is used: "+err.Error(), c.Image)
			return id, nil
		}
		return "", err
	}
	id, err = imageID(ctx, engine, c.Image)
	if err != nil {
		return "", drivers.Recoverable(fmt.Errorf("inspect image %s: %w", c.Image, err))
	}
	return id, nil
}

// isLatest reports whether a reference moves: it has no tag or says latest.
func isLatest(image string) bool {
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

func imageID(ctx context.Context, engine *client.Client, image string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	r, err := engine.ImageInspect(ctx, image)
	if err != nil {
		return "", err
	}
	return r.ID, nil
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
	d.tell(t, "Image loaded from "+c.Load, c.Image)
	return nil
}

// pulls shares downloads of the same image among tasks: the first to ask
// starts one, and it goes on when that task leaves.
type pulls struct {
	group  *loop.Group
	mu     sync.Mutex
	active map[string]*activePull
}

type activePull struct {
	done chan struct{}
	err  error
}

func newPulls(group *loop.Group) *pulls {
	return &pulls{group: group, active: map[string]*activePull{}}
}

// do waits for the download called key, starting it if there is none.
func (p *pulls) do(ctx context.Context, key string, download func(context.Context) error) error {
	p.mu.Lock()
	a, ok := p.active[key]
	if !ok {
		a = &activePull{done: make(chan struct{})}
		p.active[key] = a
		p.group.Go("pull image", func(ctx context.Context) error {
			a.err = download(ctx)
			p.mu.Lock()
			delete(p.active, key)
			p.mu.Unlock()
			close(a.done)
			return nil
		})
	}
	p.mu.Unlock()
	select {
	case <-a.done:
		return a.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *Driver) pull(ctx context.Context, engine *client.Client, plugin *pluginConfig, t *drivers.TaskConfig, c *taskConfig) error {
	limit := plugin.imagePullTimeout
	if c.ImagePullTimeout != "" {
		v, err := time.ParseDuration(c.ImagePullTimeout)
		if err != nil {
			return fmt.Errorf("image_pull_timeout: %w", err)
		}
		limit = v
	}
	auth, err := registryAuth(c, plugin)
	if err != nil && !c.AuthSoftFail {
		return err
	}
	d.tell(t, "Downloading image", c.Image)
	err = d.pulls.do(ctx, c.Image+"\x00"+auth, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		return d.download(ctx, engine, plugin, t, client.ImagePullOptions{RegistryAuth: auth}, c.Image)
	})
	if err == nil {
		return nil
	}
	out := fmt.Errorf("failed to pull image %s: %w", c.Image, err)
	// What the registry says about the image is final; its absence isn't.
	if errdefs.IsNotFound(err) || errdefs.IsInvalidArgument(err) || errdefs.IsUnauthorized(err) || errdefs.IsPermissionDenied(err) ||
		strings.Contains(err.Error(), "access denied") || strings.Contains(err.Error(), "manifest unknown") {
		return fmt.Errorf("%w: check the image's name and tag, and auth if it is private", out)
	}
	return drivers.Recoverable(out)
}

// download pulls an image and tells how far it is. A download that stands
// still for too long is given up.
func (d *Driver) download(ctx context.Context, engine *client.Client, plugin *pluginConfig, t *drivers.TaskConfig, options client.ImagePullOptions, image string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := loop.New(ctx)
	moved := make(chan struct{}, 1)
	watchdog.Go("activity", func(ctx context.Context) error {
		d.expectActivity(ctx, moved, plugin.pullActivityTimeout, cancel)
		return nil
	})
	defer func() { watchdog.Stop(); _ = watchdog.Wait() }()
	answer, err := engine.ImagePull(ctx, image, options)
	if err != nil {
		return causeOf(ctx, err)
	}
	defer func() { _ = answer.Close() }()
	layers := map[string][2]int64{}
	told := d.clock.Now()
	for message, err := range answer.JSONMessages(ctx) {
		if err != nil {
			return causeOf(ctx, err)
		}
		if message.Error != nil {
			return message.Error
		}
		select {
		case moved <- struct{}{}:
		default:
		}
		if message.Progress != nil && message.ID != "" && message.Progress.Total > 0 {
			layers[message.ID] = [2]int64{message.Progress.Current, message.Progress.Total}
		}
		if d.clock.Now().Sub(told) > progressEvery {
			told = d.clock.Now()
			d.tell(t, "Docker image pull progress: "+progress(layers), image)
		}
	}
	return causeOf(ctx, nil)
}

func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

func (d *Driver) expectActivity(ctx context.Context, moved <-chan struct{}, within time.Duration, give func(error)) {
	for {
		timer := d.clock.NewTimer(within)
		select {
		case <-moved:
		case <-timer.C():
			give(fmt.Errorf("the download stood still for %s", within))
			return
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

func progress(layers map[string][2]int64) string {
	var current, total int64
	for _, l := range layers {
		current, total = current+l[0], total+l[1]
	}
	return fmt.Sprintf("%d of %d MiB in %d layers", current>>20, total>>20, len(layers))
}

// registryAuth finds credentials: the task's, or the node's for the registry.
func registryAuth(c *taskConfig, plugin *pluginConfig) (string, error) {
	if a := c.Auth; a != nil && (a.Username != "" || a.Password != "") {
		return authconfig.Encode(registry.AuthConfig{Username: a.Username, Password: a.Password, ServerAddress: a.ServerAddress})
	}
	if plugin.Auth == nil || plugin.Auth.Config == "" {
		return "", nil
	}
	data, err := os.ReadFile(plugin.Auth.Config)
	if err != nil {
		return "", fmt.Errorf("read auth.config: %w", err)
	}
	var file struct {
		Auths map[string]struct {
			Auth string `json:"auth"`
		} `json:"auths"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return "", fmt.Errorf("read auth.config: %w", err)
	}
	ref, err := reference.ParseNormalizedNamed(c.Image)
	if err != nil {
		return "", err
	}
	domain := reference.Domain(ref)
	for _, key := range []string{domain, "https://" + domain, "https://" + domain + "/v1/", "https://index." + domain + "/v1/"} {
		if entry, ok := file.Auths[key]; ok {
			return decodeAuth(entry.Auth, key)
		}
	}
	return "", nil
}

func decodeAuth(encoded, server string) (string, error) {
	plain, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", errors.New("read auth.config: an entry isn't base64")
	}
	user, password, _ := strings.Cut(string(plain), ":")
	return authconfig.Encode(registry.AuthConfig{Username: user, Password: password, ServerAddress: server})
}

// images counts the tasks that use an image, so that one that nobody uses any
// more can be removed after a while.
type images struct {
	mu    sync.Mutex
	users map[string]int
	// turn grows whenever an image is used, so that a removal that waits
	// knows it was wanted meanwhile.
	turn map[string]uint64
}

func newImages() *images { return &images{users: map[string]int{}, turn: map[string]uint64{}} }

func (i *images) use(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.users[id]++
	i.turn[id]++
}

// drop reports whether nobody is left, and the turn at which that was so.
func (i *images) drop(id string) (uint64, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.users[id]--
	return i.turn[id], i.users[id] <= 0
}

func (i *images) unused(id string, since uint64) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.users[id] <= 0 && i.turn[id] == since
}

// release lets go of an image, which is removed later unless used again. One
// that other containers use is kept by the engine.
func (d *Driver) release(id string) {
	turn, last := d.images.drop(id)
	engine, plugin, err := d.api()
	if err != nil || !last || id == "" || !plugin.GC.Image {
		return
	}
	d.group.Go("remove image", func(ctx context.Context) error {
		pause(ctx, d.clock, plugin.imageDelay)
		if ctx.Err() != nil || !d.images.unused(id, turn) {
			return nil
		}
		limited, cancel := context.WithTimeout(ctx, slow)
		defer cancel()
		if _, err := engine.ImageRemove(limited, id, client.ImageRemoveOptions{PruneChildren: true}); err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) {
			d.logger.Warn("an unused image can't be removed", "image", id, logx.KeyError, err)
		}
		return nil
	})
}
