package console

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	stdlog "log"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/rs/zerolog"

	"rollcall/connectors"
	"rollcall/pipeline"
)

// Config is what a console needs to know.
type Config struct {
	// Listen is where it listens, "" for no console.
	Listen string
	// TokenFile holds the tokens of those who may sign in; empty for one that is made in DataDir.
	TokenFile string
	DataDir   string
	// CertFile and KeyFile are read anew for every connection, so a renewed certificate needs no restart.
	CertFile, KeyFile string
	// AllowPlaintext lets it listen beyond this machine without a certificate.
	AllowPlaintext bool
}

// Exposed reports whether tokens would travel in plaintext beyond this machine.
func (c *Config) Exposed() bool { return !loopback(c.Listen) && c.CertFile == "" }

// loopback reports whether only this machine reaches an address.
func loopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// ErrExposed means that the console would talk in plaintext with other machines.
var ErrExposed = errors.New("console.listen: tokens would travel in plaintext beyond this machine")

// ExposedHint is what to do about [ErrExposed].
const ExposedHint = "console.tls, or 127.0.0.1 as the address, or allow_plaintext: true behind a proxy that has TLS"

// Console serves pages and the API.
type Console struct {
	listener net.Listener
	server   *http.Server
	// encrypted is whether it was opened with a certificate: serving gives the server a TLSConfig either way.
	encrypted bool
}

// How long a caller may take. What reads much, or waits for a run to be applied, gives itself more.
const (
	headerTime = 5 * time.Second
	readTime   = 15 * time.Second
	writeTime  = time.Minute
	idleTime   = 2 * time.Minute
	partTime   = 5 * time.Second
	maxHeader  = 32 << 10
	maxBody    = 64 << 10
)

// Open begins to listen. The client must live as long as the console.
func Open(c Config, client *pipeline.Client, log zerolog.Logger) (*Console, error) {
	if c.Exposed() && !c.AllowPlaintext {
		return nil, connectors.Hint(ErrExposed, ExposedHint)
	}
	tokens, err := openTokens(&c, log)
	if err != nil {
		return nil, err
	}
	encryption, err := openTLS(&c)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, connectors.Hint(fmt.Errorf("console.listen: %w", err), "another address, or port 0 for a free one")
	}
	s := &site{client: client, tokens: tokens, log: log}
	return &Console{listener: listener, encrypted: encryption != nil, server: &http.Server{Handler: s.handler(), TLSConfig: encryption,
		ReadHeaderTimeout: headerTime, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
		ErrorLog: stdlog.New(log.Level(zerolog.DebugLevel), "", 0)}}, nil
}

// openTLS returns how connections are encrypted, nil for not at all.
func openTLS(c *Config) (*tls.Config, error) {
	if c.CertFile == "" {
		return nil, nil
	}
	load := func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		return &pair, err
	}
	if _, err := load(nil); err != nil {
		return nil, connectors.Hint(fmt.Errorf("console.tls: %w", err), "a certificate and its key, PEM")
	}
	return &tls.Config{GetCertificate: load, MinVersion: tls.VersionTLS12}, nil
}

// URL is where a browser finds it.
func (c *Console) URL() string {
	scheme := "http"
	if c.encrypted {
		scheme = "https"
	}
	return scheme + "://" + c.listener.Addr().String() + "/"
}

// Serve answers until Stop.
func (c *Console) Serve() (err error) {
	if c.encrypted {
		err = c.server.ServeTLS(c.listener, "", "")
	} else {
		err = c.server.Serve(c.listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("console: %w", err)
}

// Stop takes no more requests and lets those that are being answered end, five seconds at most: what a person asked for goes on
// in the pipeline.
func (c *Console) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), partTime)
	defer cancel()
	if err := c.server.Shutdown(ctx); err != nil {
		return c.server.Close()
	}
	if err := c.listener.Close(); !errors.Is(err, net.ErrClosed) { // it was never served
		return err
	}
	return nil
}
