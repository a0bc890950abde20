package graphtest

import (
	"compress/gzip"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Options are how the service behaves. The zero value is a well-behaved one.
type Options struct {
	// Address to listen on; a random loopback port when empty.
	Address string
	// Tenant is the tenant's id.
	Tenant string
	// PageSize is how many objects a page holds, at most and by default 200.
	PageSize int
	// MembersPerEntry is how many links one entry holds before the object is repeated; 1000 by default.
	MembersPerEntry int
	// EmptyPages makes every n-th page of a round empty, with a nextLink.
	EmptyPages int
	// Repeat gives one object of every page but the last twice, Shuffle disorders each page.
	Repeat, Shuffle bool
	// AtLeast tells in later rounds no more than has changed, which is all that Graph promises.
	AtLeast bool
	// RemovedInFirstRound reports deleted objects in first rounds too.
	RemovedInFirstRound bool
	// Lifetime of the tokens in links; seven days by default.
	Lifetime time.Duration
	// ExpireWith400 says SyncStateNotFound with status 400 instead of 410.
	ExpireWith400 bool
	// TokenLifetime is an access token's; an hour by default.
	TokenLifetime time.Duration
	// Gzip compresses answers for clients that take it.
	Gzip bool
	// Record keeps every request for [Server.Requests].
	Record bool
}

// Server is a running service. Its tenant has one [Directory].
type Server struct {
	// URL is both the authority and the base of Graph's paths: URL + "/v1.0".
	URL       string
	Directory *Directory

	options Options
	http    *httptest.Server
	sealer  sealer

	mu       sync.Mutex
	apps     map[string]*App
	tokens   map[string]grant
	revoked  time.Time
	jtis     map[string]bool
	offset   time.Duration
	epochs   int
	resync   string
	always   bool
	lag      uint64
	faults   []*Fault
	quiet    time.Time // no request may come before this
	early    int
	spoil    func(http.Header) // of claims challenges
	requests []Request
}

// Request is one request to Graph's part of the service.
type Request struct {
	Method, Path string
	Query        url.Values
	Header       http.Header
}

// Start runs a service until Close.
func Start(o Options) (*Server, error) {
	defaults(&o)
	s := &Server{
		options: o, sealer: newSealer(),
		apps: map[string]*App{}, tokens: map[string]grant{}, jtis: map[string]bool{},
		resync: "resyncChangesApplyDifferences",
	}
	s.Directory = newDirectory(s.now)
	s.http = httptest.NewUnstartedServer(s.handler())
	s.http.Config.ErrorLog = nil
	if o.Address != "" {
		l, err := net.Listen("tcp", o.Address)
		if err != nil {
			return nil, err
		}
		s.http.Listener.Close()
		s.http.Listener = l
	}
	s.http.Config.ErrorLog = discard()
	s.http.StartTLS()
	s.URL = s.http.URL
	return s, nil
}

// Close stops the service.
func (s *Server) Close() {
	s.http.CloseClientConnections()
	s.http.Close()
}

// Certificate is the root that clients of the service trust.
func (s *Server) Certificate() *x509.Certificate { return s.http.Certificate() }

// Client returns a client that trusts the service.
func (s *Server) Client() *http.Client { return s.http.Client() }

// Tenant returns the tenant's id.
func (s *Server) Tenant() string { return s.options.Tenant }

// Advance lets d pass on the service's clock.
func (s *Server) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offset += d
}

// Resync makes every link issued so far expire. With upload, the service asks for
// resyncChangesUploadDifferences, otherwise for resyncChangesApplyDifferences.
func (s *Server) Resync(upload bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epochs++
	s.resync = "resyncChangesApplyDifferences"
	if upload {
		s.resync = "resyncChangesUploadDifferences"
	}
}

// ResyncAlways makes every link expire at once, as long as on is true.
func (s *Server) ResyncAlways(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.always = on
}

// Lag hides the last n changes from delta rounds, as a replica that is behind does.
func (s *Server) Lag(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lag = uint64(n)
}

// Requests returns what was asked of Graph since the last call.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.requests
	s.requests = nil
	return r
}

// Early returns how many requests came before a Retry-After had passed.
func (s *Server) Early() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.early
}

func defaults(o *Options) {
	if o.Tenant == "" {
		o.Tenant = newID()
	}
	if o.MembersPerEntry == 0 {
		o.MembersPerEntry = 1000
	}
	if o.Lifetime == 0 {
		o.Lifetime = 7 * 24 * time.Hour
	}
	if o.TokenLifetime == 0 {
		o.TokenLifetime = time.Hour
	}
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{tenant}/v2.0/.well-known/openid-configuration", s.discovery)
	mux.HandleFunc("POST /{tenant}/oauth2/v2.0/token", s.token)
	graph := http.NewServeMux()
	for _, kind := range []string{users, groups} {
		answer := func(w http.ResponseWriter, r *http.Request) { s.delta(w, r, kind) }
		for _, name := range []string{"delta", "delta()", "microsoft.graph.delta", "microsoft.graph.delta()"} {
			graph.HandleFunc("GET /v1.0/"+kind+"/"+name, answer)
		}
		graph.HandleFunc("GET /v1.0/"+kind, func(w http.ResponseWriter, r *http.Request) { s.list(w, r, kind) })
	}
	graph.HandleFunc("GET /v1.0/users/{id}", s.single)
	graph.HandleFunc("GET /v1.0/applications", s.applications)
	graph.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		(&failure{status: http.StatusBadRequest, code: "BadRequest", message: "Resource not found for the segment."}).write(w)
	})
	front := s.front(graph)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1.0/") {
			front.ServeHTTP(w, r)
		} else {
			mux.ServeHTTP(w, r)
		}
	})
}

// front is what every request to Graph passes: the record, faults, the throttle, the token.
func (s *Server) front(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.record(r)
		w.Header().Set("Date", s.now().UTC().Format(http.TimeFormat))
		w.Header().Set("request-id", newID())
		w.Header().Set("client-request-id", r.Header.Get("client-request-id"))
		if s.throttled(w) {
			return
		}
		if f := s.fault(r); f != nil {
			if !f.before(s, w, r) {
				return
			}
			w = f.wrap(w)
		}
		if fail := s.authorize(r); fail != nil {
			fail.write(w)
			return
		}
		if s.options.Gzip && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			z := &gzipped{ResponseWriter: w, z: gzip.NewWriter(w)}
			defer z.z.Close()
			w.Header().Set("Content-Encoding", "gzip")
			w = z
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) record(r *http.Request) {
	if !s.options.Record {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, Request{r.Method, r.URL.Path, r.URL.Query(), r.Header.Clone()})
}

func (s *Server) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nowLocked()
}

func (s *Server) nowLocked() time.Time { return time.Now().Add(s.offset) }

func (s *Server) epoch() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epochs
}

func (s *Server) resyncCode() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.resync
}

func (s *Server) forever410() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.always
}

func (s *Server) visible() uint64 {
	s.mu.Lock()
	lag := s.lag
	s.mu.Unlock()
	s.Directory.mu.RLock()
	defer s.Directory.mu.RUnlock()
	return s.Directory.sequence - min(lag, s.Directory.sequence)
}

func (s *Server) pageSize() int {
	n := s.options.PageSize
	if n <= 0 || n > maxPage {
		n = maxPage
	}
	if s.options.Repeat && n > 1 {
		n-- // the repeated object counts
	}
	return n
}

type gzipped struct {
	http.ResponseWriter
	z *gzip.Writer
}

func (g *gzipped) WriteHeader(status int) {
	g.Header().Del("Content-Length")
	g.ResponseWriter.WriteHeader(status)
}

func (g *gzipped) Write(b []byte) (int, error) { return g.z.Write(b) }

// failure is an answer with Graph's error body.
type failure struct {
	status        int
	code, message string
	header        http.Header
}

func badRequest(message string) *failure {
	return &failure{status: http.StatusBadRequest, code: "Request_BadRequest", message: message}
}

func (f *failure) write(w http.ResponseWriter) {
	for name, values := range f.header {
		w.Header()[name] = values
	}
	body, _ := json.Marshal(map[string]any{"error": map[string]any{
		"code": f.code, "message": f.message,
		"innerError": map[string]any{"date": "2026-11-23T09:00:00", "request-id": w.Header().Get("request-id"), "client-request-id": w.Header().Get("client-request-id")},
	}})
	writeJSON(w, f.status, body)
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.Copy(w, strings.NewReader(string(body)))
}
