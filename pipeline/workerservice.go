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
	about := func(q sourceRequest) string { return q.Source }
	return map[string]micro.HandlerFunc{
		"store.source.*":   ofSource(about, answer(ctx, s.source)),
		"store.baseline.*": ofSource(about, s.baseline),
		"store.entries.*":  ofSource(about, answer(ctx, s.entries)),
		"store.attempts.*": ofSource(about, answer(ctx, s.attempts)),
		"store.run.*":      ofSource(about, answer(ctx, s.run)),
		"store.users.*":    ofSource(func(q usersRequest) string { return q.Query.Source }, answer(ctx, s.users)),
	}
}

// ofSource passes on the questions that are about the source which their subject ends with.
func ofSource[Request any](about func(Request) string, next micro.HandlerFunc) micro.HandlerFunc {
	return func(r micro.Request) {
		var q Request
		if err := json.Unmarshal(r.Data(), &q); err != nil {
			respond(r, nil, err)
			return
		}
		if source, subject := about(q), r.Subject(); source != subject[strings.LastIndexByte(subject, '.')+1:] {
			respond(r, nil, fmt.Errorf("%w: a question about %q came as %s", ErrMistake, source, subject))
			return
		}
		next(r)
	}
}
