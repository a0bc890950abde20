package csv

import (
	"bufio"
	"bytes"
	"fmt"
	"io"

	"rollcall/connectors"
)

// maxRow is how many bytes a row may have: more means a quotation mark that is never closed.
const maxRow = 1 << 20

// rows cuts UTF-8 text into rows and cells (RFC 4180). A quotation mark that does not begin a cell stands for
// itself.
type rows struct {
	in    *bufio.Reader
	file  string // for messages
	comma byte

	// line is the number of the last line read, first of the row's first line.
	line, first int
	// text holds the row's cells, which are ranges of it. Both are overwritten by next.
	text  []byte
	cells []span
	// ended is false when the row's line was the last one and had no line end.
	ended bool

	long, unquoted []byte
}

type span struct{ from, to int }

func newRows(in io.Reader, file string, comma byte) *rows {
	return &rows{in: bufio.NewReaderSize(in, 1<<16), file: file, comma: comma}
}

// cell returns the i-th cell, nil if the row has not so many.
func (r *rows) cell(i int) []byte {
	if i < 0 || i >= len(r.cells) {
		return nil
	}
	return r.text[r.cells[i].from:r.cells[i].to]
}

// next reads the next row that is not an empty line, io.EOF after the last.
func (r *rows) next() error {
	for {
		line, err := r.readLine()
		if err != nil {
			return err
		}
		r.first, r.cells = r.line, r.cells[:0]
		switch {
		case len(line) == 0:
			continue
		case bytes.IndexByte(line, '"') < 0:
			r.split(line)
			return nil
		}
		return r.unquote(line)
	}
}

func (r *rows) split(line []byte) {
	r.text = line
	from := 0
	for {
		n := bytes.IndexByte(line[from:], r.comma)
		if n < 0 {
			r.cells = append(r.cells, span{from, len(line)})
			return
		}
		r.cells = append(r.cells, span{from, from + n})
		from += n + 1
	}
}

func (r *rows) unquote(line []byte) error {
	r.unquoted = r.unquoted[:0]
	for more := true; more; {
		from := len(r.unquoted)
		if len(line) > 0 && line[0] == '"' {
			rest, err := r.quoted(line[1:])
			if err != nil {
				return err
			}
			if more = len(rest) > 0; more && rest[0] != r.comma {
				return r.torn(fmt.Sprintf("text follows the closing quotation mark of column %d", len(r.cells)+1))
			}
			line = rest[min(1, len(rest)):]
		} else {
			n := bytes.IndexByte(line, r.comma)
			if more = n >= 0; !more {
				n = len(line)
			}
			r.unquoted = append(r.unquoted, line[:n]...)
			line = line[min(n+1, len(line)):]
		}
		r.cells = append(r.cells, span{from, len(r.unquoted)})
	}
	r.text = r.unquoted
	return nil
}

// quoted takes a cell without its opening quotation mark over and returns what follows the closing one.
func (r *rows) quoted(line []byte) ([]byte, error) {
	for {
		n := bytes.IndexByte(line, '"')
		switch {
		case n < 0:
			r.unquoted = append(append(r.unquoted, line...), '\n')
			if len(r.unquoted) > maxRow {
				return nil, r.torn("the quoted cell does not end within 1 MiB")
			}
			var err error
			if line, err = r.readLine(); err == io.EOF {
				return nil, r.torn("the file ends inside a quoted cell")
			} else if err != nil {
				return nil, err
			}
		case n+1 < len(line) && line[n+1] == '"':
			r.unquoted = append(r.unquoted, line[:n+1]...)
			line = line[n+2:]
		default:
			r.unquoted = append(r.unquoted, line[:n]...)
			return line[n+1:], nil
		}
	}
}

// torn is the error for a row whose end cannot be told, so that the rows after it are lost too.
func (r *rows) torn(what string) error {
	err := fmt.Errorf("%s:%d: %s: %w", r.file, r.first, what, connectors.ErrIncomplete)
	return connectors.Hint(err, `Try to look at the quotation marks of that line: "…" around a cell, "" inside of it. Is the file complete?`)
}

// readLine returns the next line without its line end, valid until the next call.
func (r *rows) readLine() ([]byte, error) {
	line, err := r.in.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		line, err = r.longLine(line)
	}
	if err != nil && (err != io.EOF || len(line) == 0) {
		return nil, err
	}
	r.line++
	r.ended = err == nil
	line = bytes.TrimSuffix(line, []byte{'\n'})
	return bytes.TrimSuffix(line, []byte{'\r'}), nil
}

func (r *rows) longLine(part []byte) ([]byte, error) {
	r.long = append(r.long[:0], part...)
	for {
		part, err := r.in.ReadSlice('\n')
		if r.long = append(r.long, part...); len(r.long) > maxRow {
			r.first = r.line + 1
			return nil, r.torn("the line is longer than 1 MiB")
		}
		if err != bufio.ErrBufferFull {
			return r.long, err
		}
	}
}
