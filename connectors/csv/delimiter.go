package csv

import (
	"bytes"
	"strconv"
)

// sampleRows is how many rows the delimiter is guessed from.
const sampleRows = 20

// guessDelimiter returns the delimiter that cuts the beginning of a file best: with a header the one that
// yields most documented columns, without one the one that yields as many cells in every row, and "|", which is in trees of
// groups too, only when no other does; then the one that yields most cells. cut is true when the sample's last line may break off.
func guessDelimiter(sample []byte, header, cut bool) byte {
	if cut {
		sample = sample[:max(0, bytes.LastIndexByte(sample, '\n'))]
	}
	best, top := byte(','), 0
	for _, comma := range []byte(",;\t|") {
		if score := rate(sample, comma, header); score > top {
			best, top = comma, score
		}
	}
	return best
}

func rate(sample []byte, comma byte, header bool) int {
	r := newRows(bytes.NewReader(sample), "", comma)
	if r.next() != nil || len(r.cells) < 2 {
		return 0
	}
	width := len(r.cells)
	if header {
		return width + 1000*documentedCells(r)
	}
	even := 1
	for range sampleRows - 1 {
		if r.next() != nil {
			break
		}
		if len(r.cells) != width {
			even = 0
		}
	}
	if comma == '|' {
		return min(width, 999) + 500*even
	}
	return min(width, 999) + 1000*even
}

func documentedCells(r *rows) int {
	n := 0
	for i := range r.cells {
		if isDocumented(canonical(string(r.cell(i)))) {
			n++
		}
	}
	return n
}

// delimiterName is how a delimiter is shown.
func delimiterName(comma byte) string {
	if comma == '\t' {
		return "tab"
	}
	return strconv.Quote(string(rune(comma)))
}
