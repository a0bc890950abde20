package csv

import (
	"context"
	"fmt"

	"rollcall/connectors"
)

// handover brings the records of files that are read side by side to the one goroutine that emits them.
type handover struct{ full, free chan *batch }

// batchSize is how many records go over at a time.
const batchSize = 256

// batch holds records with attributes and values of their own: a writer uses its own again.
type batch struct {
	records    []connectors.Record
	attributes []connectors.Attribute
	values     []string
}

func newHandover() handover {
	h := handover{make(chan *batch, sideBySide), make(chan *batch, 2*sideBySide)}
	for range cap(h.free) {
		h.free <- &batch{}
	}
	return h
}

// receive emits whatever comes until all files are read. After an error, its own or the context's, nothing is emitted, and stop is called.
func (h handover) receive(ctx context.Context, emit func(connectors.Record) error, stop func()) (err error) {
	for b := range h.full {
		for i := 0; i < len(b.records) && err == nil && ctx.Err() == nil; i++ {
			if err = emit(b.records[i]); err != nil {
				err = fmt.Errorf("%s: emit: %w", b.records[i].Name, err)
				stop()
			}
		}
		h.free <- b
	}
	return err
}

// part is one file's side of a handover.
type part struct {
	handover
	ctx  context.Context
	open *batch
}

func (h handover) part(ctx context.Context) *part { return &part{handover: h, ctx: ctx} }

// add takes a record over.
func (p *part) add(r connectors.Record) error {
	if p.open == nil {
		select {
		case p.open = <-p.free:
			p.open.records, p.open.attributes, p.open.values = p.open.records[:0], p.open.attributes[:0], p.open.values[:0]
		case <-p.ctx.Done():
			return context.Cause(p.ctx)
		}
	}
	p.open.add(r)
	if len(p.open.records) < batchSize {
		return nil
	}
	return p.flush()
}

// flush hands over what there is.
func (p *part) flush() error {
	if p.open == nil {
		return nil
	}
	select {
	case p.full <- p.open:
		p.open = nil
		return nil
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	}
}

func (b *batch) add(r connectors.Record) {
	from := len(b.attributes)
	for _, a := range r.Attributes {
		at := len(b.values)
		b.values = append(b.values, a.Values...)
		if a.Values != nil {
			a.Values = b.values[at:len(b.values):len(b.values)]
		}
		b.attributes = append(b.attributes, a)
	}
	if r.Attributes != nil {
		r.Attributes = b.attributes[from:len(b.attributes):len(b.attributes)]
	}
	b.records = append(b.records, r)
}
