package csv

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"rollcall/connectors"
)

// sideBySide is how many files of a source are read at a time.
const sideBySide = 4

// files are the opened files of a source, which are read as one.
type files []*file

// openFiles opens all files before any of them is read.
func openFiles(ctx context.Context, c Config, wanted []string) (files, error) {
	var all files
	for i, one := range c.each() {
		f, err := openFile(ctx, one, wanted)
		if err != nil {
			all.Close()
			return nil, err
		}
		f.number = int32(i)
		all = append(all, f)
	}
	all.label()
	return all, nil
}

// each returns a configuration for every file.
func (c Config) each() []Config {
	paths := c.Paths
	if c.Path != "" {
		paths = []string{c.Path}
	}
	all := make([]Config, len(paths))
	for i, path := range paths {
		all[i] = c
		all[i].Path, all[i].Paths = path, nil
	}
	return all
}

// names are the paths as they are configured.
func (c Config) names() string {
	var names []string
	for _, one := range c.each() {
		names = append(names, one.Path)
	}
	return strings.Join(names, ", ")
}

// label gives every file the name that its rows are called by, without its folder where no other file has the same one.
func (all files) label() {
	for _, f := range all {
		f.label = filepath.Base(f.path)
		if slices.ContainsFunc(all, func(other *file) bool { return other != f && filepath.Base(other.path) == f.label }) {
			f.label = f.config.Path
		}
	}
}

// Close closes all files.
func (all files) Close() {
	for _, f := range all {
		f.Close()
	}
}

// read calls fn for every file, for several of them side by side. The first error ends them all.
func (all files) read(ctx context.Context, fn func(context.Context, *file) error) error {
	if len(all) == 1 {
		return fn(ctx, all[0])
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(sideBySide)
	for _, f := range all {
		group.Go(func() error { return fn(ctx, f) })
	}
	return group.Wait()
}

// emit emits the records of all files from this goroutine and returns how many rows each has.
func (all files) emit(ctx context.Context, t twins, emit func(connectors.Record) error) ([]int, error) {
	counts := make([]int, len(all))
	write := func(ctx context.Context, f *file, emit func(connectors.Record) error) (err error) {
		counts[f.number], err = f.scan(ctx, newWriter(f, t, emit).row)
		return err
	}
	if len(all) == 1 {
		return counts, write(ctx, all[0], emit)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	h := newHandover()
	var failed error
	go func() {
		failed = all.read(ctx, func(ctx context.Context, f *file) error {
			p := h.part(ctx)
			if err := write(ctx, f, p.add); err != nil {
				return err
			}
			return p.flush()
		})
		close(h.full)
	}()
	if err := h.receive(ctx, emit, stop); err != nil {
		return nil, err
	}
	return counts, failed
}

// unchanged compares all files with what they were at opening: one may have changed after it was read, while another one was.
func (all files) unchanged() error {
	for _, f := range all {
		if err := f.unchanged(); err != nil {
			return err
		}
	}
	return nil
}

func (all files) outcome(counts []int) connectors.Outcome {
	o := all[0].outcome(counts[0])
	if len(all) == 1 {
		return o
	}
	servers, ends := []string{o.Server}, []string{fmt.Sprintf("%s after %d rows", all[0].label, counts[0])}
	for i, f := range all[1:] {
		one := f.outcome(counts[i+1])
		servers, ends = append(servers, one.Server), append(ends, fmt.Sprintf("%s after %d", f.label, counts[i+1]))
		o.Bytes, o.Wire = o.Bytes+one.Bytes, max(o.Wire, one.Wire)
		o.Warnings = append(o.Warnings, one.Warnings...)
	}
	o.Server, o.Pages = strings.Join(servers, ", "), len(all)
	o.Evidence = "end of " + strings.Join(ends, ", of ") + ", sizes and times unchanged"
	return o
}
