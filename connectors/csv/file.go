package csv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/text/transform"

	"rollcall/connectors"
)

// file is an opened CSV file of which encoding, delimiter and columns are known.
type file struct {
	*os.File
	config Config
	path   string // absolute
	label  string // for its rows' names
	number int32  // among the source's files
	stat   fs.FileInfo
	script script
	comma  byte
	layout *layout
	wire   time.Duration // spent in reading
}

// openFile opens the file and reads its first row.
func openFile(ctx context.Context, c Config, wanted []string) (*file, error) {
	f, err := openRegular(c)
	if err != nil {
		return nil, err
	}
	if err := f.recognize(ctx, wanted); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// openRegular looks before it opens: opening a pipe would wait for a writer.
func openRegular(c Config) (*file, error) {
	path, err := filepath.Abs(c.Path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", c.Path, err)
	}
	stat, err := os.Stat(path)
	if err != nil {
		return nil, openError(c.Path, err)
	}
	if !stat.Mode().IsRegular() {
		return nil, connectors.Hint(fmt.Errorf("open %s: it is no file: %w", c.Path, connectors.ErrScope), "Try path: with the name of a file.")
	}
	opened, err := os.Open(path)
	if err != nil {
		return nil, openError(c.Path, err)
	}
	f := &file{File: opened, config: c, path: path}
	if f.stat, err = opened.Stat(); err != nil {
		opened.Close()
		return nil, openError(c.Path, err)
	}
	return f, nil
}

func openError(path string, err error) error {
	var reason *fs.PathError
	cause := err
	if errors.As(err, &reason) {
		cause = reason.Err
	}
	if errors.Is(err, fs.ErrPermission) {
		return connectors.Hint(fmt.Errorf("open %s: %w: %w", path, cause, connectors.ErrDenied), "Try to let the user that runs rollcall read it.")
	}
	return connectors.Hint(fmt.Errorf("open %s: %w: %w", path, cause, connectors.ErrUnreachable),
		"Try path: with the whole path, and look whether whoever writes the file has run.")
}

func (f *file) recognize(ctx context.Context, wanted []string) error {
	if f.stat.Size() == 0 {
		return f.empty("the file has no bytes")
	}
	var err error
	if f.script, err = detect(f.config.Encoding, timed{ctx, f}); err != nil {
		return f.failed(err)
	}
	if err := f.chooseDelimiter(ctx); err != nil {
		return err
	}
	r, err := f.rows(ctx)
	if err != nil {
		return err
	}
	if err := r.next(); err == io.EOF {
		return f.empty("the file has no text")
	} else if err != nil {
		return f.failed(err)
	}
	f.layout, err = newLayout(r, f.config, wanted, f.comma)
	return err
}

func (f *file) empty(what string) error {
	return connectors.Hint(fmt.Errorf("%s: %s: %w", f.config.Path, what, connectors.ErrIncomplete),
		"Try to look whether whoever writes the file has finished and had enough disk space.")
}

// failed gives an error of the file system its operation; others say already where they occurred.
func (f *file) failed(err error) error {
	switch {
	case connectors.HintOf(err) != "":
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("read %s: %w", f.config.Path, err)
	}
	return connectors.Hint(fmt.Errorf("read %s: %w: %w", f.config.Path, err, connectors.ErrIncomplete), "Try again; look at the disk or the network share.")
}

func (f *file) chooseDelimiter(ctx context.Context) error {
	comma, auto, err := f.config.comma()
	if f.comma = comma; err != nil || !auto {
		return err
	}
	text, err := f.text(ctx)
	if err != nil {
		return err
	}
	sample := make([]byte, 1<<16)
	n, err := io.ReadFull(text, sample)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return f.failed(err)
	}
	f.comma = guessDelimiter(sample[:n], !f.config.NoHeader, n == len(sample))
	return nil
}

// text returns the file from its beginning as UTF-8.
func (f *file) text(ctx context.Context) (io.Reader, error) {
	if _, err := f.Seek(int64(f.script.skip), io.SeekStart); err != nil {
		return nil, f.failed(err)
	}
	var in io.Reader = timed{ctx, f}
	if f.script.encoding != nil {
		in = transform.NewReader(in, f.script.encoding.NewDecoder())
	}
	return in, nil
}

func (f *file) rows(ctx context.Context) (*rows, error) {
	text, err := f.text(ctx)
	if err != nil {
		return nil, err
	}
	return newRows(text, f.config.Path, f.comma), nil
}

// timed adds up how long the reading took, and ends it with the context.
type timed struct {
	ctx context.Context
	*file
}

func (t timed) Read(p []byte) (int, error) {
	if err := t.ctx.Err(); err != nil {
		return 0, err
	}
	start := time.Now()
	n, err := t.File.Read(p)
	t.wire += time.Since(start)
	return n, err
}

// scan reads the file once and calls visit for every row but blank ones. It fails when the file has changed
// since it was opened, so that a nil error proves the whole file.
func (f *file) scan(ctx context.Context, visit func(*judge, *rows, judgement) error) (count int, err error) {
	r, err := f.rows(ctx)
	if err != nil {
		return 0, err
	}
	if !f.config.NoHeader {
		if err := r.next(); err != nil {
			return 0, f.first(f.failed(err))
		}
	}
	j := &judge{layout: f.layout, file: f.config.Path, decoded: f.script.encoding != nil}
	for {
		if ctx.Err() != nil {
			return count, fmt.Errorf("read %s: %w", f.config.Path, ctx.Err())
		}
		if err := r.next(); err == io.EOF {
			return count, f.end(r, count)
		} else if err != nil {
			return count, f.first(f.failed(err))
		}
		v, err := j.row(r)
		if err != nil {
			return count, f.first(err)
		}
		if v.blank {
			continue
		}
		count++
		if err := visit(j, r, v); err != nil {
			return count, err
		}
	}
}

// first prefers to say that the file changed: what else is wrong with it may come from that.
func (f *file) first(err error) error {
	if changed := f.unchanged(); changed != nil {
		return changed
	}
	return err
}

// end looks at the file after its last row.
func (f *file) end(last *rows, count int) error {
	if err := f.unchanged(); err != nil {
		return err
	}
	if !last.ended && !f.config.AllowOpenEnd {
		err := fmt.Errorf("%s:%d: the last line has no line end, so it may break off: %w", f.config.Path, last.first, connectors.ErrIncomplete)
		return connectors.Hint(err, "Try again when the file is written to its end. Where it is whole as it stands, end its last line with a line end;"+
			" allow_open_end: true takes every such file as whole.")
	}
	if odd := (f.stat.Size() - int64(f.script.skip)) % int64(f.script.unit); odd != 0 {
		return f.empty(fmt.Sprintf("the last character breaks off (%d bytes of %s)", f.stat.Size(), f.script.name))
	}
	if count == 0 && !f.config.AllowEmpty {
		return connectors.Hint(fmt.Errorf("%s: there is nobody in the file: %w", f.config.Path, connectors.ErrIncomplete),
			"Try allow_empty: true if that is as it should be.")
	}
	return nil
}

// unchanged compares size, time and identity with those at opening.
func (f *file) unchanged() error {
	now, err := f.Stat()
	if err != nil {
		return f.failed(err)
	}
	named, err := os.Stat(f.path)
	var what string
	switch {
	case err != nil:
		what = "it was removed or cannot be seen any more"
	case !os.SameFile(now, named):
		what = "another file was put in its place"
	case now.Size() != f.stat.Size():
		what = fmt.Sprintf("it had %d bytes and has %d now", f.stat.Size(), now.Size())
	case !now.ModTime().Equal(f.stat.ModTime()):
		what = "it was written again"
	default:
		return nil
	}
	return connectors.Hint(fmt.Errorf("read %s: %s: %w", f.config.Path, what, connectors.ErrChanged),
		"Try again when whoever writes the file has finished; write it under another name and rename it.")
}

// sameAs reports whether the other one is the same unchanged file.
func (f *file) sameAs(other fs.FileInfo) bool {
	return other != nil && os.SameFile(f.stat, other) && f.stat.Size() == other.Size() && f.stat.ModTime().Equal(other.ModTime())
}
