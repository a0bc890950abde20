package pipeline

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"rollcall/connectors"
	"rollcall/events"
	"rollcall/store"
)

// CheckStore looks through the whole store for anything that contradicts itself, on a copy: the pipeline goes on. It returns
// what the copy holds.
func (c *Client) CheckStore(ctx context.Context) (Snapshot, error) {
	return call[Snapshot](ctx, c, "store.check", struct{}{})
}

// TakeSnapshot has a snapshot of the store put into the object store.
func (c *Client) TakeSnapshot(ctx context.Context) (Snapshot, error) {
	return call[Snapshot](ctx, c, "store.snapshot", struct{}{})
}

// Snapshots returns the snapshots that are kept, the latest first.
func (c *Client) Snapshots(ctx context.Context) ([]Snapshot, error) {
	return ListSnapshots(ctx, c.bus)
}

// SaveSnapshot writes a snapshot into a file, which it replaces when the snapshot has come whole.
func (c *Client) SaveSnapshot(ctx context.Context, name, path string) (err error) {
	object, err := OpenSnapshot(ctx, c.bus, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, object.Close()) }()
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = io.Copy(file, object)
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}

// RestoreOptions say which snapshot is put in place.
type RestoreOptions struct {
	// File holds a snapshot or a copy of a store; empty for the latest in the object store.
	File string
	// Force replaces a store that is there, and keeps it beside.
	Force bool
}

// Restored says what was put in place.
type Restored struct {
	store.Snapshot
	// Kept is where the store lies that was there before, "" for none.
	Kept string
}

// Restore puts a snapshot in the place of the configuration's store. What the log says behind the snapshot is caught up with
// at the next start. No pipeline may run on the data directory.
func Restore(ctx context.Context, c Config, o RestoreOptions) (Restored, error) {
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return Restored{}, fmt.Errorf("data directory: %w", err)
	}
	if o.File == "" {
		return restoreLatest(ctx, c, o)
	}
	file, err := os.Open(o.File)
	if err != nil {
		return Restored{}, connectors.Hint(fmt.Errorf("restore: %w", err),
			"another file; rollcall store snapshot --list names those in the object store, of which --latest takes the last")
	}
	r, err := restore(bufio.NewReaderSize(file, 1<<20), &c, store.RestoreOptions{Force: o.Force})
	return r, errors.Join(err, file.Close())
}

func restore(data io.Reader, c *Config, o store.RestoreOptions) (r Restored, err error) {
	o.Now = time.Now()
	r.Snapshot, r.Kept, err = store.Restore(data, filepath.Join(c.DataDir, storeFile), o)
	var opening *store.OpenError
	if err != nil && !errors.As(err, &opening) { // which knows what to try
		err = connectors.Hint(fmt.Errorf("restore: %w", err), "another snapshot; rollcall store snapshot --list names them")
	}
	return r, err
}

func restoreLatest(ctx context.Context, c Config, o RestoreOptions) (r Restored, err error) {
	path := filepath.Join(c.DataDir, storeFile)
	if err := inUse(path); err != nil { // before a second server opens the streams beside it
		return r, lockedHint(err, c.DataDir)
	}
	n := &Node{config: c}
	defer func() { err = errors.Join(err, n.close()) }()
	if err := n.connect(c.NATS.URL == ""); err != nil {
		return r, err
	}
	kept, err := keptSnapshots(ctx, n.bus, n.log)
	if err != nil {
		return r, err
	}
	if len(kept) == 0 {
		return r, connectors.Hint(ErrNoSnapshot, "rollcall store restore FILE, with a copy of the store from a backup")
	}
	return restoreSnapshot(ctx, n.bus, &c, kept[0], o.Force)
}

// inUse fails with [store.ErrLocked] when somebody has the store open.
func inUse(path string) error {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	db, err := store.Open(path, store.Options{Timeout: 200 * time.Millisecond})
	if err == nil {
		return db.Close()
	}
	if errors.Is(err, store.ErrLocked) {
		return err
	}
	return nil // damaged: that is what a restore is for
}

func restoreSnapshot(ctx context.Context, bus *events.Bus, c *Config, s Snapshot, force bool) (Restored, error) {
	object, err := OpenSnapshot(ctx, bus, s.Name)
	if err != nil {
		return Restored{}, err
	}
	want := s.Contents()
	r, err := restore(object, c, store.RestoreOptions{Want: &want, Force: force})
	return r, errors.Join(err, object.Close())
}

func (s *service) takeSnapshot(ctx context.Context, _ struct{}) (Snapshot, error) {
	if err := s.catchUp(ctx); err != nil {
		return Snapshot{}, err
	}
	return s.snapshots.take(ctx, time.Now())
}

// checkStore checks a copy: Updates would have to wait for a check of the store itself.
func (s *service) checkStore(_ context.Context, _ struct{}) (found Snapshot, err error) {
	file, contents, err := s.snapshots.copyToFile()
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	copied := file.Name() + ".checked"
	_, _, err = store.Restore(bufio.NewReaderSize(file, 1<<20), copied, store.RestoreOptions{Want: &contents})
	if err != nil {
		return found, connectors.Hint(fmt.Errorf("store: %w", err), "stop the server, then rollcall store restore --latest --force")
	}
	info, err := os.Stat(copied)
	if err == nil {
		found = summary(contents)
		found.Bytes = uint64(info.Size())
	}
	return found, errors.Join(err, os.Remove(copied))
}
