package ldap

import (
	"context"
	"errors"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"rollcall/connectors"
)

// mostAbreast is how many bases are read side by side, each over a connection of its own.
const mostAbreast = 4

// readBases reads every base whole. Several are read side by side where the directory itself sees to it that keys are unique: which of two
// entries with one key came first must not be chance.
func (p *pass) readBases() error {
	bases := p.config.bases()
	if len(bases) > 1 && p.uniqueKey() {
		return p.readAbreast(bases)
	}
	for _, base := range bases {
		if err := p.readBase(base); err != nil {
			return err
		}
	}
	return nil
}

// readAbreast reads bases side by side. What they bring is delivered one by one; the first that fails ends the others.
func (p *pass) readAbreast(bases []string) error {
	group, ctx := errgroup.WithContext(p.session.ctx)
	group.SetLimit(mostAbreast)
	var turn sync.Mutex
	for _, base := range bases {
		group.Go(func() error { return p.readBeside(ctx, base, &turn) })
	}
	return group.Wait()
}

// readBeside reads a base over a connection of its own.
func (p *pass) readBeside(ctx context.Context, base string, turn *sync.Mutex) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	se, err := p.connectTo(ctx, p.session.server)
	if err != nil {
		return err
	}
	defer se.close()
	beside := p.source.pass(se, func(r connectors.Record) error {
		turn.Lock()
		defer turn.Unlock()
		err := p.deliver(r)
		var emitted *emitError
		if errors.As(err, &emitted) {
			return emitted.error
		}
		return err
	})
	beside.decoder.clock = p.decoder.clock
	if err := beside.readBase(base); err != nil {
		return err
	}
	turn.Lock()
	defer turn.Unlock()
	p.join(beside)
	return nil
}

// join adds what a pass beside this one cost and found. Both waited for the server at the same time.
func (p *pass) join(beside *pass) {
	p.pages, p.paged = p.pages+beside.pages, p.paged+beside.paged
	p.session.tap.bytes.Add(beside.session.tap.bytes.Load())
	if wait := beside.session.tap.wait.Load(); wait > p.session.tap.wait.Load() {
		p.session.tap.wait.Store(wait)
	}
	if beside.decoder.newest.After(p.decoder.newest) {
		p.decoder.newest = beside.decoder.newest
	}
	for _, uri := range beside.references {
		if !slices.Contains(p.references, uri) {
			p.references = append(p.references, uri)
		}
	}
}
