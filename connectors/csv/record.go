package csv

import (
	"fmt"
	"strconv"

	"rollcall/connectors"
)

// writer makes records of rows and emits them. It reuses the slices.
type writer struct {
	emit       func(connectors.Record) error
	file, base string // base is what its rows are called by
	number     int32
	twins      twins
	attributes []connectors.Attribute
	values     []string
	id         []byte
}

func newWriter(f *file, t twins, emit func(connectors.Record) error) *writer {
	w := &writer{emit: emit, file: f.config.Path, base: f.label + ":", number: f.number, twins: t}
	w.values = make([]string, len(f.layout.attributes))
	w.attributes = make([]connectors.Attribute, len(f.layout.attributes))
	for i, a := range f.layout.attributes {
		w.attributes[i].Name = a.name
	}
	return w
}

func (w *writer) row(j *judge, r *rows, v judgement) error {
	places := w.twins.of(j.key)
	if places != nil && places[0] != (place{w.number, int32(r.first)}) {
		return nil // spoken of at the first of them
	}
	record := connectors.Record{Kind: connectors.User, Disabled: v.disabled, Problem: v.problem}
	record.Key, record.Name = w.identify(j.key, r.first)
	switch {
	case places != nil:
		record.Problem = w.twins.sentence(places, record.Key)
		record.Disabled = false
	case v.problem != "":
		record.Problem = fmt.Sprintf("line %d: %s", r.first, v.problem)
	default:
		record.Attributes = w.list(j.layout, r)
	}
	if err := w.emit(record); err != nil {
		return fmt.Errorf("%s:%d: emit: %w", w.file, r.first, err)
	}
	return nil
}

// identify returns key and name, which share their memory.
func (w *writer) identify(key []byte, line int) (string, string) {
	w.id = append(append(w.id[:0], key...), w.base...)
	w.id = strconv.AppendInt(w.id, int64(line), 10)
	both := string(w.id)
	return both[:len(key)], both[len(key):]
}

// list cuts the values out of one string, the row's text.
func (w *writer) list(l *layout, r *rows) []connectors.Attribute {
	text := string(r.text)
	for i, a := range l.attributes {
		at := r.cells[a.cell]
		w.values[i] = text[at.from:at.to]
		w.attributes[i].Values = w.values[i : i+1]
		if at.from == at.to {
			w.attributes[i].Values = nil
		}
	}
	return w.attributes
}
