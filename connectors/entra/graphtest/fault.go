package graphtest

import (
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Fault spoils some of the answers. Exactly one of its ways is used.
type Fault struct {
	// Path is a part of the path of the requests meant, "" for all.
	Path string
	// Skip lets that many matching requests pass first; Times is how many are spoiled then, 0 for all.
	Skip, Times int

	// Throttle answers Status (429 when 0) with Retry-After: Wait, and punishes whoever comes earlier with the
	// wait once more. NoHeader leaves Retry-After out, AsDate gives it as a date.
	Throttle         bool
	Wait             time.Duration
	NoHeader, AsDate bool
	// Status answers this status with Body and ContentType, as a gateway would. Status 200 is possible.
	Status      int
	Body        string
	ContentType string
	Header      http.Header
	// Cut ends the connection after that many bytes of the body; Reset before any byte.
	Cut   int
	Reset bool
	// Drip waits that long after every 16 bytes.
	Drip time.Duration
	// Edit rewrites the body.
	Edit func(body []byte) []byte
	// Do runs before the request is answered, undisturbed.
	Do func()

	mu   sync.Mutex
	seen int
	hits int
}

// Inject adds a fault. Of several that match a request the first one counts.
func (s *Server) Inject(f *Fault) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, f)
	return f
}

// ClearFaults takes all faults away.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
	s.quiet = time.Time{}
}

// Hits returns how many answers were spoiled.
func (f *Fault) Hits() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hits
}

// fault returns the fault for the request, nil for none.
func (s *Server) fault(r *http.Request) *Fault {
	s.mu.Lock()
	list := s.faults
	s.mu.Unlock()
	for _, f := range list {
		if strings.Contains(r.URL.Path, f.Path) && f.due() {
			return f
		}
	}
	return nil
}

func (f *Fault) due() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen++
	if f.seen <= f.Skip || f.Times > 0 && f.hits >= f.Times {
		return false
	}
	f.hits++
	return true
}

// before does what happens instead of an answer, and says whether there is to be one.
func (f *Fault) before(s *Server, w http.ResponseWriter, r *http.Request) bool {
	switch {
	case f.Throttle:
		s.throttle(w, f)
	case f.Reset:
		reset(w)
	case f.Status != 0:
		for name, values := range f.Header {
			w.Header()[name] = values
		}
		if f.ContentType != "" {
			w.Header().Set("Content-Type", f.ContentType)
		}
		w.WriteHeader(f.Status)
		_, _ = io.WriteString(w, f.Body)
	default:
		if f.Do != nil {
			f.Do()
		}
		return true
	}
	return false
}

// wrap spoils the body that follows.
func (f *Fault) wrap(w http.ResponseWriter) http.ResponseWriter {
	return &spoiled{ResponseWriter: w, fault: f, left: f.Cut}
}

type spoiled struct {
	http.ResponseWriter
	fault *Fault
	left  int
}

func (s *spoiled) Write(b []byte) (int, error) {
	switch f := s.fault; {
	case f.Edit != nil:
		_, err := s.ResponseWriter.Write(f.Edit(b))
		return len(b), err
	case f.Cut > 0:
		n, _ := s.ResponseWriter.Write(b[:min(s.left, len(b))])
		s.left -= n
		if s.left <= 0 {
			if fl, ok := s.ResponseWriter.(http.Flusher); ok {
				fl.Flush()
			}
			panic(http.ErrAbortHandler)
		}
		return len(b), nil
	case f.Drip > 0:
		for rest := b; len(rest) > 0; {
			n := min(16, len(rest))
			if _, err := s.ResponseWriter.Write(rest[:n]); err != nil {
				return 0, err
			}
			s.ResponseWriter.(http.Flusher).Flush()
			time.Sleep(f.Drip)
			rest = rest[n:]
		}
		return len(b), nil
	}
	return s.ResponseWriter.Write(b)
}

func reset(w http.ResponseWriter) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	type netConn interface{ NetConn() net.Conn }
	if t, ok := c.(netConn); ok {
		if tcp, ok := t.NetConn().(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
			_ = tcp.Close()
			return
		}
	}
	_ = c.Close()
}

// throttled answers a request that came too early.
func (s *Server) throttled(w http.ResponseWriter) bool {
	s.mu.Lock()
	wait := s.quiet.Sub(s.nowLocked())
	if wait > 0 {
		s.early++
	}
	s.mu.Unlock()
	if wait <= 0 {
		return false
	}
	s.throttle(w, &Fault{Wait: wait})
	return true
}

func (s *Server) throttle(w http.ResponseWriter, f *Fault) {
	seconds := int((f.Wait + time.Second - 1) / time.Second)
	s.mu.Lock()
	until := s.nowLocked().Add(time.Duration(seconds) * time.Second)
	if !f.NoHeader {
		s.quiet = until
	}
	s.mu.Unlock()
	h := http.Header{}
	switch {
	case f.NoHeader:
	case f.AsDate:
		h.Set("Retry-After", until.Add(time.Second).UTC().Format(http.TimeFormat))
	default:
		h.Set("Retry-After", strconv.Itoa(seconds))
	}
	status, code := f.Status, "TooManyRequests"
	if status == 0 {
		status = http.StatusTooManyRequests
	} else {
		code = "serviceNotAvailable"
	}
	(&failure{status: status, code: code, message: "Too many requests.", header: h}).write(w)
}

// Challenge lets spoil rewrite the headers of claims challenges.
func (s *Server) Challenge(spoil func(http.Header)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spoil = spoil
}

// Page returns a skiptoken of a round over users that is n pages old.
func (s *Server) Page(n int) string {
	return s.sealer.seal(place{Kind: users, Page: n, Upto: s.visible(), Issued: s.now().Unix(), Epoch: s.epoch()})
}

// challenge is the answer to a token that was revoked.
func (s *Server) challenge() *failure {
	claims := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `{"access_token":{"nbf":{"essential":true,"value":"%d"}}}`, s.now().Unix()))
	h := http.Header{}
	h.Set("WWW-Authenticate", `Bearer realm="", authorization_uri="`+s.URL+`/common/oauth2/authorize", client_id="00000003-0000-0000-c000-000000000000", error="insufficient_claims", claims="`+claims+`"`)
	s.mu.Lock()
	spoil := s.spoil
	s.mu.Unlock()
	if spoil != nil {
		spoil(h)
	}
	return &failure{status: http.StatusUnauthorized, code: "InvalidAuthenticationToken", message: "Continuous access evaluation resulted in challenge with result: InteractionRequired and code: TokenIssuedBeforeRevocationTimestamp", header: h}
}

func discard() *log.Logger { return log.New(io.Discard, "", 0) }
