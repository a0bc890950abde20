package broker

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
	"golang.org/x/crypto/bcrypt"
)

// maxPayload admits a group of 100,000 members in one message.
const maxPayload = 8 << 20

// Options say where the server lives.
type Options struct {
	// Dir holds the streams and the credentials.
	Dir string
	// Listen is host:port, "127.0.0.1:0" (also "") for a free port on loopback.
	Listen string
	// Log gets the server's own warnings and errors.
	Log zerolog.Logger
}

// Broker is a running NATS server in this process.
type Broker struct {
	server      *server.Server
	credentials Credentials
}

// Credentials let a client in.
type Credentials struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

// Start starts the server and returns when it answers.
func Start(o Options) (*Broker, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	credentials, err := loadCredentials(filepath.Join(o.Dir, "credentials.json"))
	if err != nil {
		return nil, err
	}
	if err := sweep(filepath.Join(o.Dir, "streams")); err != nil {
		return nil, err
	}
	options, err := o.server(credentials)
	if err != nil {
		return nil, err
	}
	s, err := server.NewServer(options)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS in %s: %w", o.Dir, err)
	}
	s.SetLoggerV2(logger{o.Log}, false, false, false)
	s.Start()
	b := &Broker{server: s, credentials: credentials}
	if err := b.awaitHealthy(30 * time.Second); err != nil {
		b.Stop()
		return nil, fmt.Errorf("embedded NATS in %s: %w", o.Dir, err)
	}
	return b, nil
}

// URL is where clients connect.
func (b *Broker) URL() string { return b.server.ClientURL() }

// Credentials are the ones that the server was started with.
func (b *Broker) Credentials() Credentials { return b.credentials }

// Options are the client options to connect with.
func (b *Broker) Options() []nats.Option {
	return []nats.Option{nats.UserInfo(b.credentials.User, b.credentials.Password)}
}

// Dial returns the client options for the server that lives in a directory.
func Dial(dir string) ([]nats.Option, error) {
	c, err := loadCredentials(filepath.Join(dir, "credentials.json"))
	return []nats.Option{nats.UserInfo(c.User, c.Password)}, err
}

// Watch fails when the streams have been out of order for five seconds. What could not be written, on a full disk for one, stays refused
// until the server starts again, also when there is room.
func (b *Broker) Watch(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for well := time.Now(); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		status := b.server.Healthz(nil)
		if status.StatusCode == 200 {
			well = time.Now()
		} else if time.Since(well) > 5*time.Second {
			return fmt.Errorf("embedded NATS: streams are out of order: %s", status.Error)
		}
	}
}

// Stop shuts the server down and waits for it.
func (b *Broker) Stop() {
	b.server.Shutdown()
	b.server.WaitForShutdown()
}

func (o Options) server(c Credentials) (*server.Options, error) {
	listen := o.Listen
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	u, err := url.Parse("nats://" + listen)
	if err != nil || u.Port() == "" {
		return nil, fmt.Errorf("nats.listen %q: want host:port", o.Listen)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(c.Password), bcrypt.MinCost) // the password is random: the cost protects nothing
	if err != nil {
		return nil, err
	}
	options := &server.Options{
		ServerName: "rollcall", Host: u.Hostname(), NoSigs: true, NoLog: false,
		JetStream: true, StoreDir: filepath.Join(o.Dir, "streams"), SyncAlways: true, DisableJetStreamBanner: true,
		JetStreamMaxStore: 1 << 42, JetStreamMaxMemory: 256 << 20, MaxPayload: maxPayload,
		Username: c.User, Password: string(hash),
	}
	if _, err := fmt.Sscanf(u.Port(), "%d", &options.Port); err != nil {
		return nil, fmt.Errorf("nats.listen %q: %w", o.Listen, err)
	}
	if options.Port == 0 {
		options.Port = server.RANDOM_PORT
	}
	return options, nil
}

// awaitHealthy waits until JetStream has recovered its streams: a server that accepts connections may not be there yet.
func (b *Broker) awaitHealthy(limit time.Duration) error {
	if !b.server.ReadyForConnections(limit) {
		return errors.New("does not accept connections: is its port taken?")
	}
	deadline := time.Now().Add(limit)
	for b.server.JetStreamEnabled() {
		status := b.server.Healthz(nil)
		if status.StatusCode == 200 {
			return nil
		}
		if time.Now().After(deadline) || strings.Contains(status.Error, "write error") { // which it does not recover from
			return fmt.Errorf("streams did not recover: %s", status.Error)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return errors.New("streams cannot be opened: is the disk full or read-only?")
}

// loadCredentials reads the credentials or makes them, readable by their owner only.
func loadCredentials(path string) (Credentials, error) {
	var c Credentials
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &c)
		if err != nil || c.Password == "" {
			return c, fmt.Errorf("%s is damaged (remove it to get a new one): %w", path, err)
		}
		return c, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return c, err
	}
	c = Credentials{User: "rollcall", Password: rand.Text()}
	data, err = json.Marshal(c)
	if err != nil {
		return c, err
	}
	return c, os.WriteFile(path, append(data, '\n'), 0o600)
}

// logger passes the server's log on, at the levels an operator wants to see.
type logger struct{ log zerolog.Logger }

func (l logger) Noticef(format string, v ...any) { l.log.Debug().Msgf(format, v...) }
func (l logger) Warnf(format string, v ...any)   { l.log.Warn().Msgf(format, v...) }
func (l logger) Fatalf(format string, v ...any)  { l.log.Error().Msgf(format, v...) }
func (l logger) Errorf(format string, v ...any)  { l.log.Error().Msgf(format, v...) }
func (l logger) Debugf(format string, v ...any)  { l.log.Trace().Msgf(format, v...) }
func (l logger) Tracef(format string, v ...any)  { l.log.Trace().Msgf(format, v...) }
