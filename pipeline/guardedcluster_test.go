package pipeline_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/crypto/bcrypt"

	"rollcall/events"
	"rollcall/pipeline"
)

// natsUsers are the users of deployments/nats/users.conf.
var natsUsers = []string{"reconciler", "normalizer", "connector-corp", "connector-people", "console", "operator", "subscriber", "system"}

// guardedCluster is three NATS servers with TLS, started from the files in deployments/nats.
type guardedCluster struct {
	dir     string
	url     string
	servers []*server.Server
}

// startGuardedCluster starts the servers; only addresses and folders differ from the files. It stops them when the test ends.
func startGuardedCluster(t *testing.T) *guardedCluster {
	t.Helper()
	g := &guardedCluster{dir: t.TempDir()}
	writeCertificates(t, g.dir)
	g.writePasswords(t)
	change := []string{"/etc/nats/", g.dir + "/"}
	var routes, clients []int
	for i := range 3 {
		routes, clients = append(routes, freePort(t)), append(clients, freePort(t))
		change = append(change, fmt.Sprintf("nats-%d:6222", i+1), fmt.Sprintf("127.0.0.1:%d", routes[i]))
	}
	var urls []string
	for i := range 3 {
		own := append([]string{"0.0.0.0:4222", fmt.Sprintf("127.0.0.1:%d", clients[i]), "0.0.0.0:6222", fmt.Sprintf("127.0.0.1:%d", routes[i]),
			"/var/lib/nats", filepath.Join(g.dir, fmt.Sprint("data-", i+1))}, change...)
		g.copyFile(t, "nats.conf", fmt.Sprintf("nats-%d.conf", i+1), own...)
		urls = append(urls, fmt.Sprintf("tls://127.0.0.1:%d", clients[i]))
	}
	g.copyFile(t, "users.conf", "users.conf", insider(t)...)
	for i := range 3 {
		g.servers = append(g.servers, g.startServer(t, i+1))
	}
	for _, s := range g.servers {
		if !s.ReadyForConnections(20 * time.Second) {
			t.Fatal("a NATS server does not accept connections")
		}
	}
	eventually(t, func() bool {
		return g.servers[0].JetStreamIsCurrent() && g.servers[1].JetStreamIsCurrent() && g.servers[2].JetStreamIsCurrent()
	})
	g.url = strings.Join(urls, ",")
	return g
}

func (g *guardedCluster) startServer(t *testing.T, n int) *server.Server {
	t.Helper()
	t.Setenv("NATS_SERVER_NAME", fmt.Sprint("nats-", n))
	options, err := server.ProcessConfigFile(filepath.Join(g.dir, fmt.Sprintf("nats-%d.conf", n)))
	if err != nil {
		t.Fatal(err)
	}
	options.NoSigs, options.NoLog = true, true
	s, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

// copyFile copies a file of deployments/nats with replacements.
func (g *guardedCluster) copyFile(t *testing.T, from, to string, change ...string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../deployments/nats", from))
	if err != nil {
		t.Fatal(err)
	}
	g.write(t, to, strings.NewReplacer(change...).Replace(string(text)))
}

// insider is what gives connector-corp's rights to a user in the reconciler's own account, where the server writes for him what he may
// not write.
func insider(t *testing.T) (change []string) {
	t.Helper()
	text, err := os.ReadFile("../deployments/nats/users.conf")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "user: connector-corp\n")
	rights, _, closed := strings.Cut(rest, "\n    ]")
	const at = "      # The one writer."
	if !found || !closed || !strings.Contains(string(text), at) {
		t.Fatal("users.conf has another form")
	}
	rights = strings.ReplaceAll(rights, "_INBOX.connector-corp", "_INBOX.insider")
	return []string{at, "      {user: insider\n" + rights + "\n" + at}
}

// writePasswords writes the hashes for the servers, in the example's form, and the passwords for the clients.
func (g *guardedCluster) writePasswords(t *testing.T) {
	t.Helper()
	example, err := os.ReadFile("../deployments/nats/passwords.conf.example")
	if err != nil {
		t.Fatal(err)
	}
	text := string(example)
	for _, user := range natsUsers {
		password := rand.Text()
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		line := strings.ReplaceAll(user, "-", "_") + `_password: "`
		if !strings.Contains(text, line) {
			t.Fatalf("passwords.conf.example has no %s", line)
		}
		text = strings.Replace(text, line+"$2a$11$...", line+string(hash), 1)
		g.write(t, user+".password", password+"\n")
		if user == "connector-corp" {
			g.write(t, "insider.password", password+"\n")
		}
	}
	g.write(t, "passwords.conf", text)
}

func (g *guardedCluster) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(g.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// nats is how a user connects.
func (g *guardedCluster) nats(user string) pipeline.NATS {
	return pipeline.NATS{URL: g.url, Replicas: 3, User: user, PasswordFile: filepath.Join(g.dir, user+".password"), CAFile: filepath.Join(g.dir, "ca.crt")}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// writeCertificates writes ca.crt, and tls.crt and tls.key of a server on loopback.
func writeCertificates(t *testing.T, dir string) {
	t.Helper()
	authority := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "nats"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	authorityKey, leafKey := newKey(t), newKey(t)
	for _, one := range []struct {
		name string
		cert *x509.Certificate
		key  *ecdsa.PrivateKey
	}{{"ca.crt", authority, authorityKey}, {"tls.crt", leaf, leafKey}} {
		der, err := x509.CreateCertificate(rand.Reader, one.cert, authority, &one.key.PublicKey, authorityKey)
		if err != nil {
			t.Fatal(err)
		}
		writePEM(t, filepath.Join(dir, one.name), "CERTIFICATE", der)
	}
	der, err := x509.MarshalECPrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, filepath.Join(dir, "tls.key"), "EC PRIVATE KEY", der)
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// connect connects as a user; refused hears what the server refuses.
func (g *guardedCluster) connect(t *testing.T, user string, refused func(error)) *events.Bus {
	t.Helper()
	if refused == nil {
		refused = func(err error) { t.Error(user, ": ", err) }
	}
	options, err := g.nats(user).Options()
	if err != nil {
		t.Fatal(err)
	}
	bus, err := events.Connect(g.url, refused, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Close)
	return bus
}

// refusal returns what the server refuses of what fn does, nil for nothing.
func (g *guardedCluster) refusal(t *testing.T, user string, fn func(*nats.Conn) error) error {
	t.Helper()
	refused := make(chan error, 10)
	bus := g.connect(t, user, func(err error) { refused <- err })
	if err := fn(bus.Conn); err != nil {
		t.Fatal(err)
	}
	if err := bus.Conn.Flush(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-refused:
		if !errors.Is(err, nats.ErrPermissionViolation) {
			t.Fatal(err)
		}
		return err
	case <-time.After(200 * time.Millisecond):
		return nil
	}
}

// sequences returns the last sequence of every stream.
func (g *guardedCluster) sequences(t *testing.T) map[string]uint64 {
	t.Helper()
	bus := g.connect(t, "reconciler", nil)
	last := map[string]uint64{}
	for info := range bus.JetStream.ListStreams(t.Context()).Info() {
		last[info.Config.Name] = info.State.LastSeq
	}
	if len(last) == 0 {
		t.Fatal("no streams")
	}
	return last
}

// messages returns how many messages every stream has and had, but for the lease, which is renewed.
func (g *guardedCluster) messages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for info := range g.connect(t, "reconciler", nil).JetStream.ListStreams(t.Context()).Info() {
		if info.Config.Name != "KV_"+events.LeaderBucket {
			found[info.Config.Name] = fmt.Sprint(info.State.Msgs, " of ", info.State.LastSeq)
		}
	}
	return found
}

// leader returns who holds the lease.
func (g *guardedCluster) leader(t *testing.T) string {
	t.Helper()
	bucket, err := g.connect(t, "reconciler", nil).JetStream.KeyValue(t.Context(), events.LeaderBucket)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := bucket.Get(t.Context(), "leader")
	if err != nil {
		t.Fatal(err)
	}
	return string(entry.Value())
}

// wantUntouched fails the test unless nothing came into a stream or went, and nobody else holds the lease.
func (g *guardedCluster) wantUntouched(t *testing.T, before map[string]string, leader string) {
	t.Helper()
	time.Sleep(time.Second)
	if after := g.messages(t); !maps.Equal(after, before) {
		t.Errorf("streams: %v, then %v", before, after)
	}
	if now := g.leader(t); now != leader {
		t.Errorf("%s leads, then %s", leader, now)
	}
}

// wantResults fails the test unless RUNS has as many results, each once.
func (g *guardedCluster) wantResults(t *testing.T, want int) {
	t.Helper()
	var found []string
	eventually(t, func() bool {
		found = nil
		err := g.connect(t, "reconciler", nil).ReadAll(t.Context(), events.RunsStream, "rollcall.runs.*.*", func(msg jetstream.Msg) error {
			found = append(found, msg.Subject()+" "+msg.Headers().Get("Rollcall-Result"))
			return nil
		})
		return err == nil && len(found) >= want
	})
	if slices.Sort(found); len(slices.Compact(found)) != want {
		t.Errorf("results %q, want %d", found, want)
	}
}

// denials are the lines of a log that tell of something refused.
type denials struct {
	mu    sync.Mutex
	found []string
}

func (d *denials) Write(line []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if bytes.Contains(line, []byte("NATS refuses")) || bytes.Contains(bytes.ToLower(line), []byte("permission")) {
		d.found = append(d.found, strings.TrimSpace(string(line)))
	}
	return len(line), nil
}

func (d *denials) lines() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.found
}

func (d *denials) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.found = nil
}
