package entra

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"rollcall/connectors"
)

// connector reads a tenant's users, and its groups where they are wanted.
type connector struct {
	config     Config
	env        connectors.Env
	client     *client
	credential azcore.TokenCredential
	wanted     wanted
	now        func() time.Time
}

var _ connectors.Connector = (*connector)(nil)

// Read makes a first round over the tenant, or the round after the checkpoint's.
func (c *connector) Read(ctx context.Context, since connectors.Checkpoint, emit func(connectors.Record) error) (connectors.Outcome, error) {
	c.client.begin()
	pass := &pass{connector: c, page: newPage(), emit: emit, whole: since == nil}
	var err error
	if since == nil {
		err = pass.full(ctx)
	} else {
		err = pass.incremental(ctx, since)
	}
	if err != nil {
		return connectors.Outcome{}, wrap(err)
	}
	return pass.outcome(), nil
}

// pass is one call of Read.
type pass struct {
	*connector
	page     *page
	emit     func(connectors.Record) error
	whole    bool
	from     checkpoint
	next     checkpoint
	warnings []string
	evidence []string
}

func (p *pass) full(ctx context.Context) error {
	var chosen *closure
	if p.config.walks() || p.wanted.groups {
		g := newGroups(true, time.Time{})
		link, err := p.round(ctx, "groups", "", groupSelect, g.take)
		if err != nil {
			return err
		}
		if chosen, err = p.choose(g); err != nil {
			return err
		}
		if err := p.emitGroups(ctx, g, chosen); err != nil {
			return err
		}
		p.next.Groups = link
	}
	link, err := p.round(ctx, "users", "", p.wanted.properties, p.users(ctx, chosen))
	if err != nil {
		return err
	}
	p.next.Users = link
	p.warnings = p.expiries(ctx)
	return nil
}

func (p *pass) incremental(ctx context.Context, since connectors.Checkpoint) error {
	var err error
	if p.from, err = openCheckpoint(since, p.config.query(p.wanted)); err != nil {
		return err
	}
	p.warnings = p.from.alarm(p.now())
	if p.wanted.groups {
		g := newGroups(false, p.from.Date)
		if p.next.Groups, err = p.round(ctx, "groups", p.from.Groups, groupSelect, g.take); err != nil {
			return err
		}
		if err := p.emitGroups(ctx, g, nil); err != nil {
			return err
		}
	}
	p.next.Users, err = p.round(ctx, "users", p.from.Users, p.wanted.properties, p.users(ctx, nil))
	return err
}

// round runs a delta round and keeps what proves its end.
func (p *pass) round(ctx context.Context, set, since string, fields []string, object func(*page) error) (string, error) {
	r := &round{client: p.client, set: set, fields: fields, since: since}
	link, err := r.run(ctx, p.page, object)
	if err == nil {
		p.evidence = append(p.evidence, fmt.Sprintf("deltaLink on page %d of %s", r.pages, set))
	}
	return link, err
}

// users returns what emits the users of a page. chosen is who is selected, nil for everybody.
func (p *pass) users(ctx context.Context, chosen *closure) func(*page) error {
	r, again := newReader(connectors.User, p.wanted.attributes), map[string]bool{}
	r.since = p.from.Date
	return func(page *page) error {
		rec, err := r.read(page, p.whole)
		if err != nil || chosen != nil && !chosen.users[rec.Key] {
			return err
		}
		guest := r.guest
		if p.inPart(r, rec, again) {
			found := false
			if rec, guest, found, err = p.complete(ctx, r, rec); err != nil || !found {
				return err
			}
		}
		if guest && !p.config.Select.Guests {
			if p.whole {
				return nil
			}
			rec = connectors.Record{Key: rec.Key, Kind: rec.Kind, Name: rec.Name, Deleted: true} // who became one has left the selection
		}
		return p.give(ctx, rec)
	}
}

// give emits a record, and stops when nobody wants more.
func (p *pass) give(ctx context.Context, rec connectors.Record) error {
	err := p.emit(rec)
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return &outside{err}
	}
	return nil
}

func (p *pass) outcome() connectors.Outcome {
	spent := p.client.spent
	o := connectors.Outcome{
		Whole: p.whole, Server: p.client.base.Host, Evidence: strings.Join(p.evidence, ", "),
		Pages: spent.requests, Bytes: spent.bytes, Wire: spent.wire, Warnings: p.warnings,
	}
	if !p.config.walks() {
		p.next.Query, p.next.Issued = p.config.query(p.wanted), p.now().UTC()
		p.next.Date = p.client.date
		o.Next = p.next.encode()
	}
	for _, name := range p.wanted.refused {
		o.Warnings = append(o.Warnings, fmt.Sprintf("%s is never read: it holds a password", name))
	}
	return o
}
