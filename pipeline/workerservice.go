package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/micro"
)

// workerEndpoints are what workers ask about a source. The source's name ends the subject, so that the NATS server can keep a
// worker to its own sources.
func (s *service) workerEndpoints(ctx context.Context) map[string]micro.HandlerFunc {
	return map[string]micro.HandlerFunc{
		"store.source.*":   ofSource(answer(ctx, s.source)),
		"store.baseline.*": ofSource(s.baseline),
		"store.entries.*":  ofSource(answer(ctx, s.entries)),
		"store.attempts.*": ofSource(answer(ctx, s.attempts)),
		"store.run.*":      ofSource(answer(ctx, s.run)),
		"store.users.*":    ofSource(answer(ctx, s.usersOf)),
		"store.applied.*":  ofSource(answer(ctx, s.applied)),
	}
}

// ownUsersRequest asks for the users of a source, for its export.
type ownUsersRequest struct {
	Source string
	usersRequest
}

func (s *service) usersOf(ctx context.Context, q ownUsersRequest) (userPage, error) {
	q.Query.Source, q.PINs = q.Source, false
	return s.users(ctx, q.usersRequest)
}

// ofSource passes on the questions that are about the source which their subject ends with.
func ofSource(next micro.HandlerFunc) micro.HandlerFunc {
	return func(r micro.Request) {
		var q sourceRequest
		if err := json.Unmarshal(r.Data(), &q); err != nil {
			respond(r, nil, err)
			return
		}
		if subject := r.Subject(); q.Source != subject[strings.LastIndexByte(subject, '.')+1:] {
			respond(r, nil, fmt.Errorf("%w: a question about %q came as %s", ErrMistake, q.Source, subject))
			return
		}
		next(r)
	}
}
