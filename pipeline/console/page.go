package console

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"rollcall/pipeline/show"
	"rollcall/store"
)

//go:embed pages
var files embed.FS

// pages holds a template for each page, every one in the same frame.
var pages = parsePages("status", "runs", "run", "source", "job", "users", "user", "groups", "problem", "sign-in")

func parsePages(names ...string) map[string]*template.Template {
	words := template.FuncMap{"plain": show.Plain, "thousands": show.Thousands, "clock": show.Clock, "seconds": show.Seconds, "kind": show.Kind,
		"hash": show.Hash, "schedule": show.Schedule, "lag": show.Lag, "behind": show.Behind, "standing": show.Standing, "text": textOf, "values": valuesOf, "join": strings.Join}
	all := map[string]*template.Template{}
	for _, name := range names {
		all[name] = template.Must(template.New("frame.html").Funcs(words).ParseFS(files, "pages/frame.html", "pages/parts.html", "pages/"+name+".html"))
	}
	return all
}

// textOf returns a single-valued property by its name, valuesOf a list, joined.
func textOf(u store.User, name string) string {
	p, _ := store.ParseProperty(name)
	return u.Text[p]
}

func valuesOf(u store.User, name string) string {
	p, _ := store.ParseProperty(name)
	return show.Values(u, p)
}

// view is what a page is made of.
type view struct {
	Title string
	// Section is the link above that is marked, Name who is signed in.
	Section, Name string
	// Again is after how many seconds the browser loads the page again, 0 for never.
	Again int
	Data  any
}

// write writes a page, or nothing but an error where its template fails.
func (s *site) write(w http.ResponseWriter, r *http.Request, status int, page string, v view) error {
	v.Name = nameOf(r)
	var text bytes.Buffer
	if err := pages[page].Execute(&text, v); err != nil {
		return fmt.Errorf("page %s: %w", page, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = text.WriteTo(w)
	return nil
}

// refuse shows a problem. One that passes by itself is looked at again.
func (s *site) refuse(w http.ResponseWriter, r *http.Request, p *problem) {
	p.stamp(w.Header())
	v := view{Title: http.StatusText(p.Status), Data: p}
	if p.Status == http.StatusServiceUnavailable && r.Method == http.MethodGet {
		v.Again = 5
	}
	if p.Status == http.StatusInternalServerError {
		s.log.Error().Str("path", r.URL.Path).Str("error", p.Text).Msg("console")
	}
	if err := s.write(w, r, p.Status, "problem", v); err != nil {
		s.log.Error().Err(err).Msg("console")
		http.Error(w, p.Text, http.StatusInternalServerError)
	}
}

// askToken shows the page on which one signs in.
func (s *site) askToken(w http.ResponseWriter, r *http.Request) {
	s.showSignIn(w, r, http.StatusOK, own(r.URL.Query().Get("next")), nil)
}

// signIn takes a token for a session.
func (s *site) signIn(w http.ResponseWriter, r *http.Request) {
	next := own(r.PostFormValue("next"))
	h, refused := s.present(r, strings.TrimSpace(r.PostFormValue("token")))
	if refused != nil {
		s.showSignIn(w, r, refused.Status, next, refused)
		return
	}
	s.log.Info().Str("actor", h.name).Str("from", address(r)).Msg("console: signed in")
	begin(w, r, h)
	http.Redirect(w, r, next, http.StatusSeeOther)
}

func (s *site) showSignIn(w http.ResponseWriter, r *http.Request, status int, next string, refused *problem) {
	if refused != nil {
		refused.stamp(w.Header())
	}
	data := struct {
		Next    string
		Problem *problem
	}{next, refused}
	if err := s.write(w, r, status, "sign-in", view{Title: "Sign in", Data: data}); err != nil {
		s.log.Error().Err(err).Msg("console")
	}
}

// sendToSignIn sends a stranger to where he signs in, and remembers what he wanted to see.
func (s *site) sendToSignIn(w http.ResponseWriter, r *http.Request, p *problem) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		s.showSignIn(w, r, p.Status, "/", p)
		return
	}
	http.Redirect(w, r, "/sign-in?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
}

func (s *site) signOut(w http.ResponseWriter, r *http.Request) error {
	end(w, r)
	http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
	return nil
}

// own returns a path of this site: what names another one becomes the first page.
func own(path string) string {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n\t") {
		return "/"
	}
	return path
}
