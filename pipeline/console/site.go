package console

import (
	"context"
	"embed"
	"net/http"

	"github.com/rs/zerolog"

	"rollcall/pipeline"
)

// site answers requests.
type site struct {
	client  *pipeline.Client
	tokens  tokens
	lockout pipeline.Lockout
	log     zerolog.Logger
}

//go:embed static
var static embed.FS

// handler is everything that there is. What stands in front of the sign-in is there for everybody.
func (s *site) handler() http.Handler {
	all := http.NewServeMux()
	all.Handle("GET /static/", http.FileServerFS(static))
	all.HandleFunc("GET /sign-in", s.askToken)
	all.HandleFunc("POST /sign-in", s.signIn)
	all.Handle("/api/v1/", s.identified(s.api(), refuseAPI, refuseAPI))
	all.Handle("/", s.identified(s.pages(), s.refuse, s.sendToSignIn))
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.refuse(w, r, errForeign) }))
	return guarded(origin.Handler(http.MaxBytesHandler(all, maxBody)))
}

var errForeign = &problem{Status: http.StatusForbidden, Text: "this was sent by another site", Try: "the same from a page of this console"}

// pages are those of a person.
func (s *site) pages() http.Handler {
	mux := http.NewServeMux()
	page := func(pattern string, fn func(http.ResponseWriter, *http.Request) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := fn(w, r); err != nil {
				s.refuse(w, r, problemOf(err))
			}
		})
	}
	page("GET /{$}", s.status)
	page("GET /runs", s.runs)
	page("GET /runs/{source}/{run}", s.run)
	page("POST /runs/{source}/{run}/approve", s.approve)
	page("POST /runs/{source}/{run}/reject", s.reject)
	page("GET /sources/{source}", s.source)
	page("POST /sources/{source}/sync", s.sync)
	page("POST /sources/{source}/cancel", s.cancel)
	page("GET /jobs/{source}/{job}", s.job)
	page("GET /users", s.users)
	page("GET /users/{name}", s.user)
	page("GET /groups", s.groups)
	page("POST /sign-out", s.signOut)
	page("/", func(http.ResponseWriter, *http.Request) error { return errNoPage })
	return mux
}

// guarded keeps a browser from doing with an answer what it is not meant for.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if r.TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

type holderKey struct{}

// identified passes on the requests of those who may ask; strangers answers those who have not said who they are.
func (s *site) identified(next http.Handler, wrong func(http.ResponseWriter, *http.Request, *problem), strangers func(http.ResponseWriter, *http.Request, *problem)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, refused := s.who(r)
		switch {
		case refused != nil:
			wrong(w, r, refused)
		case h == nil:
			strangers(w, r, errStranger)
		default:
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), holderKey{}, h)))
		}
	})
}

var errStranger = &problem{Status: http.StatusUnauthorized, Text: "nobody is signed in", Try: "a token: Authorization: Bearer TOKEN"}

// nameOf is who is signed in, "" for nobody.
func nameOf(r *http.Request) string {
	if h, ok := r.Context().Value(holderKey{}).(*holder); ok {
		return h.name
	}
	return ""
}

// actorOf is how the log names him.
func actorOf(r *http.Request) string {
	if name := nameOf(r); name != everybody {
		return name + "@console"
	}
	return everybody
}

// note logs what a person asked for.
func (s *site) note(r *http.Request, what, source string) {
	s.log.Info().Str("actor", actorOf(r)).Str("from", address(r)).Str("source", source).Msg("console: " + what)
}
