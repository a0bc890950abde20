package entra

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"

	abstractions "github.com/microsoft/kiota-abstractions-go"

	"rollcall/connectors"
)

// mostEmpty is how many empty pages in a row are believed.
const mostEmpty = 1000

// round is one delta round over a set: from a first request, or a deltaLink, to the next deltaLink.
type round struct {
	client *client
	set    string // users or groups
	fields []string
	// since is the deltaLink of the round before, "" for a first round.
	since string
	pages int
}

// run calls object for every object of the round and returns the deltaLink at its end. Only that link proves the end.
func (r *round) run(ctx context.Context, p *page, object func(*page) error) (string, error) {
	req, err := r.first()
	if err != nil {
		return "", err
	}
	seed, seen, empty := maphash.MakeSeed(), map[uint64]bool{}, 0
	for {
		body, err := r.client.get(ctx, req)
		if err != nil {
			return "", r.explain(err)
		}
		r.pages++
		if err := p.walk(body, object); err != nil {
			return "", r.broken(err)
		}
		if p.objects > 0 {
			empty = 0
		} else {
			empty++
		}
		switch link := maphash.String(seed, p.next); {
		case p.next != "" && p.delta != "", p.next == "" && p.delta == "":
			return "", r.incomplete("it has not exactly one of nextLink and deltaLink")
		case p.delta != "":
			return p.delta, nil
		case seen[link]:
			return "", r.incomplete("Graph goes in circles: it names a next page that was read before")
		case empty >= mostEmpty:
			return "", r.incomplete(fmt.Sprintf("it is the last of %d empty pages in a row", empty))
		default:
			seen[link] = true
		}
		if req, err = r.client.follow(p.next); err != nil {
			return "", r.incomplete(err.Error())
		}
	}
}

// first is the request that begins the round. The template is that of the SDK's builders.
func (r *round) first() (*abstractions.RequestInformation, error) {
	if r.since != "" {
		req, err := r.client.follow(r.since)
		if err != nil {
			err = fmt.Errorf("%w: %w", connectors.ErrCheckpointExpired, err)
		}
		return req, err
	}
	return request("{+baseurl}/"+r.set+"/delta(){?%24count,%24expand,%24filter,%24orderby,%24search,%24select,%24skip,%24top}",
		map[string]string{"%24select": strings.Join(r.fields, ",")}), nil
}

// explain turns Graph's refusals into what they mean for the round.
func (r *round) explain(err error) error {
	var f *failure
	if !errors.As(err, &f) || f.signIn {
		return err
	}
	switch {
	case r.since == "" && f.expired():
		return connectors.Hint(fmt.Errorf("%w: Graph asks to begin again in the middle of a first round: %w", connectors.ErrIncomplete, f),
			"Try again later; nothing was changed.")
	case r.since != "" && r.pages == 0 && (f.status == 400 || f.status == 404):
		// Whatever it is that Graph does not like about its own link, only a first round helps.
		return fmt.Errorf("%w: %w", connectors.ErrCheckpointExpired, f)
	case f.status == 403:
		return missing(r.set, f)
	}
	return err
}

// broken says that a page could not be read, or passes on what the receiver of the records said.
func (r *round) broken(err error) error {
	if e, ok := errors.AsType[*outside](err); ok {
		return e.error
	}
	return r.incomplete(clean(err.Error()))
}

func (r *round) incomplete(why string) error {
	return connectors.Hint(fmt.Errorf("%w: page %d of %s: %s", connectors.ErrIncomplete, r.pages, r.set, why), "Try again later; nothing was changed.")
}

// outside is an error that is not the page's: of whoever takes the records, or of another question to Graph.
type outside struct{ error }

func (e *outside) Unwrap() error { return e.error }

var permissions = map[string]string{"users": "User.Read.All", "groups": "Group.Read.All"}

// missing names the permission that the application lacks.
func missing(set string, f *failure) error {
	return connectors.Hint(fmt.Errorf("%w: reading %s needs the application permission %s: %w", connectors.ErrDenied, set, permissions[set], f),
		"Try: App registrations > the application > API permissions: add "+permissions[set]+" (application), then grant admin consent.")
}
