package mailtest

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Sink is an SMTP server that keeps what it is given.
type Sink struct {
	Host string
	Port int
	// CAFile is what the sink's certificate is checked against.
	CAFile string

	listener net.Listener
	tls      *tls.Config
	implicit bool
	mu       sync.Mutex
	letters  []Letter
	refused  map[string]string
	account  [2]string
	open     map[net.Conn]bool
}

// Letter is a message as it arrived.
type Letter struct {
	From    string
	To      []string
	ID      string
	Subject string
	Text    string
	// Encrypted is true when it came over TLS, User is who signed in.
	Encrypted bool
	User      string
}

// Start starts a sink that offers STARTTLS, or speaks TLS from the first byte.
func Start(t testing.TB, implicitTLS bool) *Sink {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Sink{Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port, listener: listener, implicit: implicitTLS,
		refused: map[string]string{}, open: map[net.Conn]bool{}}
	s.certify(t)
	var connections sync.WaitGroup
	connections.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		s.Stop()
		connections.Wait()
	})
	return s
}

// Stop closes the door and every conversation.
func (s *Sink) Stop() {
	_ = s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.open {
		_ = conn.Close()
	}
}

// Refuse answers every recipient of that address so: "550 5.1.1 nobody". "" takes it back.
func (s *Sink) Refuse(address, reply string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused[address] = reply
}

// Account wants everybody to sign in so.
func (s *Sink) Account(user, password string) { s.account = [2]string{user, password} }

// Letters returns what has arrived.
func (s *Sink) Letters() []Letter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.letters)
}

// conversation is one connection.
type conversation struct {
	sink   *Sink
	conn   net.Conn
	text   *textproto.Conn
	letter Letter
	user   string
}

func (s *Sink) serve(conn net.Conn) {
	s.mu.Lock()
	s.open[conn] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.open, conn)
		s.mu.Unlock()
		_ = conn.Close()
	}()
	c := &conversation{sink: s, conn: conn}
	if s.implicit {
		c.conn = tls.Server(conn, s.tls)
	}
	c.text = textproto.NewConn(c.conn)
	c.say("220 sink")
	for c.step() == nil {
	}
}

func (c *conversation) say(format string, args ...any) { _ = c.text.PrintfLine(format, args...) }

func (c *conversation) step() error {
	line, err := c.text.ReadLine()
	if err != nil {
		return err
	}
	verb, rest, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "EHLO", "HELO":
		c.say("250-sink")
		if _, encrypted := c.conn.(*tls.Conn); !encrypted {
			c.say("250-STARTTLS")
		}
		c.say("250 AUTH PLAIN")
	case "STARTTLS":
		c.say("220 go")
		secure := tls.Server(c.conn, c.sink.tls)
		c.conn, c.text = secure, textproto.NewConn(secure)
	case "AUTH":
		return c.signIn(rest)
	case "MAIL":
		if c.sink.account[0] != c.user {
			c.say("530 5.7.0 sign in first")
			return nil
		}
		c.letter = Letter{From: address(rest), User: c.user}
		_, c.letter.Encrypted = c.conn.(*tls.Conn)
		c.say("250 ok")
	case "RCPT":
		c.recipient(address(rest))
	case "DATA":
		return c.data()
	case "QUIT":
		c.say("221 bye")
		return io.EOF
	default:
		c.say("250 ok")
	}
	return nil
}

func (c *conversation) signIn(rest string) error {
	_, given, _ := strings.Cut(rest, " ")
	secret, _ := base64.StdEncoding.DecodeString(given)
	if string(secret) != "\x00"+c.sink.account[0]+"\x00"+c.sink.account[1] {
		c.say("535 5.7.8 no")
		return nil
	}
	c.user = c.sink.account[0]
	c.say("235 2.7.0 welcome")
	return nil
}

func (c *conversation) recipient(to string) {
	c.sink.mu.Lock()
	reply := c.sink.refused[to]
	c.sink.mu.Unlock()
	if reply != "" {
		c.say("%s", reply)
		return
	}
	c.letter.To = append(c.letter.To, to)
	c.say("250 ok")
}

func (c *conversation) data() error {
	c.say("354 go on")
	message, err := mail.ReadMessage(bufio.NewReader(c.text.DotReader()))
	if err != nil {
		return err
	}
	body := message.Body
	if message.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
		body = quotedprintable.NewReader(body)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, message.Body)
	c.letter.ID, c.letter.Subject, c.letter.Text = message.Header.Get("Message-ID"), message.Header.Get("Subject"), strings.ReplaceAll(string(text), "\r\n", "\n")
	c.sink.mu.Lock()
	c.sink.letters = append(c.sink.letters, c.letter)
	c.sink.mu.Unlock()
	c.say("250 2.0.0 taken")
	return nil
}

// address returns what stands between the angle brackets.
func address(s string) string {
	_, s, _ = strings.Cut(s, "<")
	s, _, _ = strings.Cut(s, ">")
	return s
}

func (s *Sink) certify(t testing.TB) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	s.tls = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	s.CAFile = filepath.Join(t.TempDir(), "sink.pem")
	if err := os.WriteFile(s.CAFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(fmt.Errorf("certificate: %w", err))
	}
}
