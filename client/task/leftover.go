package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/steppe-run/steppe/client/allocdir"
	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/logx"
)

// leftoverName is the file in a task's private directory by which the task can
// be ended even when the node's memory is lost.
const leftoverName = "handle.json"

// leftover is what the file holds.
type leftover struct {
	Driver string
	Handle *drivers.Handle
}

// leave writes the handle beside the task. The node's memory is what counts;
// this is for the day when that can't be read.
func (r *Runner) leave(driver string, handle *drivers.Handle) {
	data, err := json.Marshal(leftover{driver, handle})
	if err == nil {
		err = r.dir.WritePrivate(r.name, leftoverName, data)
	}
	if err != nil {
		r.logger.Warn("the task's handle could not be left in its directory", logx.KeyError, err)
	}
}

// EndLeftovers ends the tasks whose handles are found in an allocation's
// directory that nobody knows any more.
func EndLeftovers(ctx context.Context, catalog drivers.Catalog, dir allocdir.Dir) error {
	names, err := dir.Tasks()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, endLeftover(ctx, catalog, dir, name))
	}
	return errors.Join(errs...)
}

func endLeftover(ctx context.Context, catalog drivers.Catalog, dir allocdir.Dir, name string) error {
	data, err := dir.ReadPrivate(name, leftoverName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was never started, or the machine was restarted
	}
	if err != nil {
		return err
	}
	var left leftover
	if err := json.Unmarshal(data, &left); err != nil || left.Handle == nil || left.Handle.Config == nil {
		return fmt.Errorf("end task %q of an unknown allocation: its handle can't be read: %w", name, err)
	}
	driver, err := catalog.Driver(left.Driver)
	if err != nil {
		return fmt.Errorf("end task %q of an unknown allocation: %w", name, err)
	}
	if err := driver.Recover(ctx, left.Handle); err != nil {
		if errors.Is(err, drivers.ErrPluginGone) || ctx.Err() != nil {
			return fmt.Errorf("end task %q of an unknown allocation: %w", name, err)
		}
		return nil // it runs no more, or its driver has cleared it away
	}
	if err := driver.Destroy(ctx, left.Handle.Config.ID, true); err != nil && !errors.Is(err, drivers.ErrTaskNotFound) {
		return fmt.Errorf("end task %q of an unknown allocation: %w", name, err)
	}
	return nil
}
