package csv

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/unicode"

	"rollcall/connectors"
)

// script is how a file's bytes become text.
type script struct {
	name string
	// encoding is nil for UTF-8, which is read as it is.
	encoding encoding.Encoding
	// skip is how many bytes the byte order mark has, unit how many a code unit has.
	skip, unit int
	warning    string
}

var (
	utf8Script    = script{name: "UTF-8", unit: 1}
	utf16LE       = script{name: "UTF-16LE", encoding: unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), unit: 2}
	utf16BE       = script{name: "UTF-16BE", encoding: unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), unit: 2}
	windows1252   = script{name: "windows-1252", encoding: charmap.Windows1252, unit: 1}
	byteOrderMark = []struct {
		bytes  string
		script script
	}{{"\xef\xbb\xbf", utf8Script}, {"\xff\xfe", utf16LE}, {"\xfe\xff", utf16BE}}
)

// namedEncoding returns the configured encoding, the zero script for "auto".
func namedEncoding(name string) (script, error) {
	switch strings.ToLower(strings.TrimSpace(name)) {
	case "", "auto":
		return script{}, nil
	case "utf-8", "utf8", "ascii", "us-ascii":
		return utf8Script, nil
	case "utf-16", "utf16":
		return script{name: "UTF-16", unit: 2}, nil
	case "utf-16le", "utf16le":
		return utf16LE, nil
	case "utf-16be", "utf16be":
		return utf16BE, nil
	}
	found, err := ianaindex.IANA.Encoding(name)
	if err != nil || found == nil {
		found, err = htmlindex.Get(name)
	}
	if err != nil {
		return script{}, connectors.Hint(fmt.Errorf("encoding: %q is not known", name), "Try encoding: auto, utf-8, windows-1250 or iso-8859-2.")
	}
	return script{name: strings.ToLower(name), encoding: found, unit: 1}, nil
}

// detect finds out the encoding of a file; a byte order mark beats the configuration.
func detect(name string, in io.ReadSeeker) (script, error) {
	named, err := namedEncoding(name)
	if err != nil {
		return named, err
	}
	head := make([]byte, 4096)
	n, err := io.ReadFull(in, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return named, err
	}
	head = head[:n]
	for _, mark := range byteOrderMark {
		if bytes.HasPrefix(head, []byte(mark.bytes)) {
			return marked(mark.script, len(mark.bytes), named), nil
		}
	}
	switch {
	case named.name == "UTF-16":
		return orLittle(zeroBytes(head)), nil
	case named.name != "":
		return named, nil
	}
	if guess := zeroBytes(head); guess.name != "" {
		return guess, nil
	}
	return guess8Bit(in)
}

// marked is the encoding of a byte order mark of that length.
func marked(found script, length int, named script) script {
	found.skip = length
	if named.name != "" && !strings.HasPrefix(found.name, named.name) {
		found.warning = fmt.Sprintf("the file begins with the byte order mark of %s and was read so, not as %s", found.name, named.name)
	}
	return found
}

// zeroBytes tells UTF-16 by the zero bytes of its Latin letters, commas and line ends.
func zeroBytes(head []byte) script {
	var zeros [2]int
	for i, b := range head {
		if b == 0 {
			zeros[i%2]++
		}
	}
	switch few, many := len(head)/32, len(head)/8; {
	case zeros[1] > many && zeros[0] <= few:
		return utf16LE
	case zeros[0] > many && zeros[1] <= few:
		return utf16BE
	}
	return script{}
}

func orLittle(s script) script {
	if s.name == "" {
		return utf16LE
	}
	return s
}

// guess8Bit reads the whole file: one line that is no UTF-8 would otherwise be found when others have been
// emitted. A file with more broken than good multi-byte characters is no UTF-8 at all.
func guess8Bit(in io.ReadSeeker) (script, error) {
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return script{}, err
	}
	good, broken, err := countUTF8(in)
	if err != nil || broken <= good {
		return utf8Script, err
	}
	guess := windows1252
	guess.warning = "the file is not UTF-8 and was read as windows-1252; say so with `encoding:` (windows-1250, iso-8859-2, …)"
	return guess, nil
}

// countUTF8 counts the multi-byte characters of a text and the bytes that belong to none.
func countUTF8(in io.Reader) (good, broken int, err error) {
	buf, kept := make([]byte, 1<<16), 0
	for {
		n, err := in.Read(buf[kept:])
		part := buf[:kept+n]
		used := len(part)
		if err == nil {
			used -= unfinished(part)
		}
		if utf8.Valid(part[:used]) {
			good += multiByte(part[:used])
		} else {
			g, b := countRunes(part[:used])
			good, broken = good+g, broken+b
		}
		kept = copy(buf, part[used:])
		if err == io.EOF {
			return good, broken, nil
		}
		if err != nil {
			return good, broken, err
		}
	}
}

// unfinished returns how many bytes at the end begin a character that the next block ends.
func unfinished(part []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(part); n++ {
		if tail := part[len(part)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}

// multiByte counts the multi-byte characters of valid UTF-8: what is neither ASCII nor a continuation.
func multiByte(part []byte) (n int) {
	for _, b := range part {
		if b >= 0xc0 {
			n++
		}
	}
	return n
}

func countRunes(part []byte) (good, broken int) {
	for len(part) > 0 {
		if part[0] < utf8.RuneSelf {
			part = part[1:]
			continue
		}
		r, size := utf8.DecodeRune(part)
		if r == utf8.RuneError && size == 1 {
			broken++
		} else {
			good++
		}
		part = part[size:]
	}
	return good, broken
}
