package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	stream "rollcall/events"
)

// streams bounds the streams.
type streams struct {
	MaxBytes maxBytes `yaml:"max_bytes"`
}

// maxBytes is the most that a stream may have on each server, 0 for no bound.
type maxBytes struct {
	Raw     size `yaml:"raw"`
	Changes size `yaml:"changes"`
	Log     size `yaml:"log"`
	Users   size `yaml:"users"`
	Runs    size `yaml:"runs"`
	Dead    size `yaml:"dead"`
}

func (m maxBytes) compose() map[string]int64 {
	return map[string]int64{stream.RawStream: int64(m.Raw), stream.ChangesStream: int64(m.Changes), stream.LogStream: int64(m.Log),
		stream.UsersStream: int64(m.Users), stream.RunsStream: int64(m.Runs), stream.DeadStream: int64(m.Dead)}
}

// size is a number of bytes: 500MiB, 4GiB, or a bare 0 for none.
type size int64

var sizeForm = regexp.MustCompile(`^([0-9]{1,6}) ?(MiB|GiB|TiB)$`)

func (s *size) decodeYAML(d *decoder, path string, n ast.Node) {
	text, _, ok := d.text(path, n)
	if !ok || text == "0" {
		return
	}
	parts := sizeForm.FindStringSubmatch(strings.TrimSpace(text))
	if parts == nil {
		d.note(place(n), fmt.Sprintf("%s: %q is no size", path, text), "500MiB, 4GiB, or 0 for no bound")
		return
	}
	number, _ := strconv.ParseInt(parts[1], 10, 64) // six digits
	*s = size(number << map[string]uint{"MiB": 20, "GiB": 30, "TiB": 40}[parts[2]])
}
