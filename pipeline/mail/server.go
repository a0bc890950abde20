package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"rollcall/connectors"
)

// Server is where mail leaves.
type Server struct {
	// Host is the server's name or address; empty where no mail is sent.
	Host string
	Port int
	// Security is starttls, tls or none.
	Security string
	// User and PasswordFile sign in, "" for a server that wants nobody to.
	User, PasswordFile string
	// CAFile holds the certificates that the server's is checked against, "" for those of the system.
	CAFile string
	// From is the sender's address.
	From string
}

// Message is a text for people.
type Message struct {
	// ID tells a message that is sent twice from two messages.
	ID      string
	To      []string
	Subject string
	Text    string
}

// ErrRefused means that a message would be refused however often it is sent: there is no such address, or nobody takes it.
var ErrRefused = errors.New("mail is refused")

// Session is a connection to a server, for one goroutine.
type Session struct {
	client *gomail.Client
	from   string
}

// timeout is how long a server may be silent.
const timeout = 20 * time.Second

// Dial connects and signs in.
func (s Server) Dial(ctx context.Context) (*Session, error) {
	options, err := s.options()
	if err != nil {
		return nil, err
	}
	client, err := gomail.NewClient(s.Host, options...)
	if err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	if err := client.DialWithContext(ctx); err != nil {
		return nil, connectors.Hint(fmt.Errorf("mail server %s:%d: %w", s.Host, s.Port, err), "mail.server, port, security, user and password_file in the configuration")
	}
	return &Session{client: client, from: s.From}, nil
}

// Send hands a message over.
func (s *Session) Send(m Message) error {
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := msg.From(s.from); err != nil {
		return fmt.Errorf("mail from %q: %w", s.from, err)
	}
	if err := msg.To(m.To...); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	msg.SetMessageIDWithValue(m.ID)
	msg.SetDate()
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: nobody's absence answers
	msg.Subject(m.Subject)
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	return refusal(s.client.Send(msg))
}

// Close says goodbye. What was accepted stays so, whatever it returns.
func (s *Session) Close() error { return s.client.Close() }

// refusal marks what another try would not change.
func refusal(err error) error {
	var failed *gomail.SendError
	if !errors.As(err, &failed) {
		return err
	}
	about := failed.Reason == gomail.ErrSMTPRcptTo || failed.Reason == gomail.ErrSMTPData || failed.Reason == gomail.ErrSMTPDataClose
	if about && !failed.IsTemp() && failed.ErrorCode() >= 500 {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}

func (s Server) options() ([]gomail.Option, error) {
	config, err := s.tls()
	if err != nil {
		return nil, err
	}
	options := []gomail.Option{gomail.WithPort(s.Port), gomail.WithTimeout(timeout), gomail.WithTLSConfig(config), gomail.WithTLSPolicy(gomail.TLSMandatory)}
	switch s.Security {
	case "tls":
		options = append(options, gomail.WithSSL())
	case "none":
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	}
	if s.User == "" {
		return options, nil
	}
	if s.Security == "none" && !isLoopback(s.Host) {
		return nil, connectors.Hint(fmt.Errorf("mail server %s: the password would travel unencrypted", s.Host), "mail: {security: starttls}")
	}
	password, err := os.ReadFile(s.PasswordFile)
	if err != nil {
		return nil, connectors.Hint(fmt.Errorf("mail password: %w", err), "mail: {password_file: …}, readable for rollcall")
	}
	return append(options, gomail.WithSMTPAuth(s.mechanism()), gomail.WithUsername(s.User),
		gomail.WithPassword(strings.TrimRight(string(password), "\r\n"))), nil
}

// mechanism is whatever the server offers. Without encryption, to this machine, it is named: offered passwords are not taken
// then.
func (s Server) mechanism() gomail.SMTPAuthType {
	if s.Security == "none" {
		return gomail.SMTPAuthPlainNoEnc
	}
	return gomail.SMTPAuthAutoDiscover
}

func (s Server) tls() (*tls.Config, error) {
	config := &tls.Config{ServerName: s.Host, MinVersion: tls.VersionTLS12}
	if s.CAFile == "" {
		return config, nil
	}
	text, err := os.ReadFile(s.CAFile)
	if err != nil {
		return nil, fmt.Errorf("mail.ca_file: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(text) {
		return nil, connectors.Hint(fmt.Errorf("mail.ca_file: %s has no certificate", s.CAFile), "a file in PEM form")
	}
	return config, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
