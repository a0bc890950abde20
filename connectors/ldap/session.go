package ldap

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/go-ldap/ldap/v3"

	"rollcall/connectors"
)

// dialTimeout is how long a connection and its TLS may take.
const dialTimeout = 10 * time.Second

// session is a signed-in connection to one server, for one pass.
type session struct {
	server    string
	host      string // in its certificate
	encrypted bool
	conn      *ldap.Conn
	tap       *tap
	ctx       context.Context
	unhook    func() bool
}

// connect signs in to the first server that can be reached. Wrong credentials end the search for one: the others would
// refuse them too, and may lock the account.
func (s *source) connect(ctx context.Context) (*session, error) {
	servers, err := s.addresses(ctx)
	if err != nil {
		return nil, err
	}
	var failures []error
	for _, server := range servers {
		se, err := s.connectTo(ctx, server)
		if err == nil || ctx.Err() != nil || errors.Is(err, connectors.ErrDenied) || errors.Is(err, connectors.ErrSecret) {
			return se, err
		}
		failures = append(failures, err)
	}
	if len(failures) == 1 {
		return nil, failures[0]
	}
	return nil, connectors.Hint(errors.Join(failures...), connectors.HintOf(failures[0]))
}

func (s *source) connectTo(ctx context.Context, server string) (*session, error) {
	u, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	conn, err := s.dial(ctx, u)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, unreachable(server, err)
	}
	encrypted := u.Scheme == "ldaps" || s.config.TLS.StartTLS
	se := &session{server: server, host: s.config.serviceHost(u.Hostname()), encrypted: encrypted, tap: newTap(conn, s.config.idleTimeout()), ctx: ctx}
	se.unhook = context.AfterFunc(ctx, func() { _ = conn.Close() })
	se.conn = ldap.NewConn(se.tap, encrypted)
	se.conn.SetTimeout(0)
	se.conn.Start()
	if err := s.bind(se); err != nil {
		se.close()
		return nil, err
	}
	return se, nil
}

// close ends the session. The connection goes first: nothing waits for a server that is silent.
func (se *session) close() {
	se.unhook()
	_ = se.tap.Conn.Close()
	_ = se.conn.Close()
}

// dial connects and, where it is asked for, protects the connection. The tap must lie above TLS, so StartTLS is done
// here and not by go-ldap.
func (s *source) dial(ctx context.Context, u *url.URL) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	port := u.Port()
	if port == "" {
		port = map[string]string{"ldap": "389", "ldaps": "636"}[u.Scheme]
	}
	conn, err := (&net.Dialer{Resolver: s.config.resolver()}).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, err
	}
	secured, err := s.secure(ctx, conn, u)
	if err != nil {
		_ = conn.Close()
	}
	return secured, err
}

func (s *source) secure(ctx context.Context, conn net.Conn, u *url.URL) (net.Conn, error) {
	if u.Scheme != "ldaps" && !s.config.TLS.StartTLS {
		return conn, nil
	}
	config, err := s.config.TLS.client(u.Hostname())
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if u.Scheme != "ldaps" {
		if err := startTLS(conn); err != nil {
			return nil, err
		}
	}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return secured, nil
}

func (t TLS) client(host string) (*tls.Config, error) {
	config := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if t.ServerName != "" {
		config.ServerName = t.ServerName
	}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("tls.ca_file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.ca_file: %s holds no certificate in PEM", t.CAFile)
		}
	}
	if t.CertFile != "" {
		certificate, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("tls.cert_file: %w", err)
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	return config, nil
}

// startTLSRequest asks for TLS: message 1, extended request 1.3.6.1.4.1.1466.20037 (RFC 4511, 4.14.1).
var startTLSRequest = append([]byte{0x30, 0x1d, 0x02, 0x01, 0x01, 0x77, 0x18, 0x80, 0x16}, "1.3.6.1.4.1.1466.20037"...)

var errNoStartTLS = errors.New("the server refuses StartTLS")

func startTLS(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(dialTimeout)); err != nil {
		return err
	}
	if _, err := conn.Write(startTLSRequest); err != nil {
		return err
	}
	message, err := readMessage(conn)
	if err != nil {
		return err
	}
	body, _, err := expect(message, tagSequence)
	if err == nil {
		_, body, err = expect(body, tagInteger)
	}
	if err != nil {
		return err
	}
	_, response, _, err := element(body) // [APPLICATION 24] resultCode, …
	if err != nil {
		return err
	}
	_, code, _, err := element(response)
	if err != nil {
		return err
	}
	if len(code) != 1 || code[0] != ldap.LDAPResultSuccess {
		return errNoStartTLS
	}
	return conn.SetDeadline(time.Time{})
}

// readMessage reads one short message byte by byte: what follows it belongs to TLS.
func readMessage(conn net.Conn) ([]byte, error) {
	message := make([]byte, 0, 64)
	one := make([]byte, 1)
	for len(message) < 4096 {
		if _, err := conn.Read(one); err != nil {
			return nil, err
		}
		message = append(message, one[0])
		if _, _, _, err := element(message); len(message) > 1 && err == nil {
			return message, nil
		}
	}
	return nil, errBER
}

// bind signs in.
func (s *source) bind(se *session) error {
	var err error
	switch {
	case s.config.BindDN != "":
		var password string
		if password, err = s.config.password(); err != nil {
			return err
		}
		err = se.conn.Bind(s.config.BindDN, password)
	case s.config.Kerberos.KeytabFile != "":
		return s.config.Kerberos.signIn(se)
	case s.config.TLS.CertFile != "":
		err = se.conn.ExternalBind()
	}
	if err == nil {
		return nil
	}
	return se.say(err, "sign in as "+s.identity())
}

func (s *source) identity() string {
	switch {
	case s.config.BindDN != "":
		return s.config.BindDN
	case s.config.Kerberos.KeytabFile != "":
		return s.config.Kerberos.Principal
	case s.config.TLS.CertFile != "":
		return "the holder of " + s.config.TLS.CertFile
	}
	return "nobody"
}
