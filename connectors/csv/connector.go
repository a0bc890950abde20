package csv

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"rollcall/connectors"
)

// source reads one CSV file, or several as one.
type source struct {
	config Config
	wanted []string
	// known are what Present has read, by path.
	known map[string]known
}

// known is an index of the file with these marks.
type known struct {
	*index
	marks fs.FileInfo
}

// Read emits a user for every row. It knows no incremental pass.
func (s *source) Read(ctx context.Context, since connectors.Checkpoint, emit func(connectors.Record) error) (connectors.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return connectors.Outcome{}, fmt.Errorf("read %s: %w", s.config.names(), err)
	}
	if since != nil {
		return connectors.Outcome{}, fmt.Errorf("read %s: a file is read as a whole: %w", s.config.names(), connectors.ErrCheckpointExpired)
	}
	all, err := openFiles(ctx, s.config, s.wanted)
	if err != nil {
		return connectors.Outcome{}, err
	}
	defer all.Close()
	twins, err := findTwins(ctx, all)
	if err != nil {
		return connectors.Outcome{}, err
	}
	counts, err := all.emit(ctx, twins, emit)
	if err == nil {
		err = ctx.Err() // cancelled while the last record was emitted
	}
	if err == nil {
		err = all.unchanged()
	}
	if err != nil {
		return connectors.Outcome{}, err
	}
	return all.outcome(counts), nil
}

func (f *file) outcome(count int) connectors.Outcome {
	o := connectors.Outcome{
		Whole: true, Server: f.path, Pages: 1, Bytes: f.stat.Size(), Wire: f.wire,
		Evidence: fmt.Sprintf("end of file after %d rows, size and time unchanged", count),
		Warnings: f.layout.warnings,
	}
	if f.script.warning != "" {
		o.Warnings = append(o.Warnings, f.config.Path+": "+f.script.warning)
	}
	return o
}

// Present reads the files again, each once as long as it does not change.
func (s *source) Present(ctx context.Context, keys []string) (map[string]bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", s.config.names(), err)
	}
	for _, one := range s.config.each() {
		if err := s.lookAgain(ctx, one); err != nil {
			return nil, err
		}
	}
	answer := make(map[string]bool, len(keys))
	for _, key := range keys {
		for _, k := range s.known {
			answer[key] = answer[key] || k.has(key)
		}
	}
	return answer, nil
}

// lookAgain makes known the index of a file as it is now.
func (s *source) lookAgain(ctx context.Context, c Config) error {
	f, err := openRegular(c)
	if err != nil {
		return err
	}
	defer f.Close()
	if f.sameAs(s.known[c.Path].marks) {
		return nil
	}
	if err := f.recognize(ctx, s.wanted); err != nil {
		return err
	}
	x, err := readIndex(ctx, f)
	if err == nil {
		s.known[c.Path] = known{x, f.stat}
	}
	return err
}

// Check opens the files and looks at their first lines.
func (s *source) Check(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("check %s: %w", s.config.names(), err)
	}
	all, err := openFiles(ctx, s.config, s.wanted)
	if err != nil {
		return nil, err
	}
	defer all.Close()
	var lines []string
	for _, f := range all {
		lines = append(lines, f.describe()...)
	}
	return lines, nil
}

// describe says how the file is read.
func (f *file) describe() []string {
	j := judge{layout: f.layout}
	columns := make([]string, len(f.layout.names))
	for i := range columns {
		columns[i] = j.columnName(i)
	}
	lines := []string{
		fmt.Sprintf("%s has %d bytes and was last written %s.", f.path, f.stat.Size(), f.stat.ModTime().UTC().Format("2006-01-02 15:04:05 UTC")),
		fmt.Sprintf("It is read as %s with the delimiter %s.", f.script.name, delimiterName(f.comma)),
		fmt.Sprintf("It has %d columns: %s.", len(columns), strings.Join(columns, ", ")),
		"A row is known by " + f.layout.keyRule() + ".",
	}
	return append(lines, f.outcome(0).Warnings...)
}
