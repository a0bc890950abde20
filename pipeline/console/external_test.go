package console_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"rollcall/pipeline"
	"rollcall/pipeline/console"
)

// A console in a process of its own has nothing but its connection to NATS: it sees and does what the others work on, says so when
// nobody answers, and goes on when somebody does.
func TestExternalNATS(t *testing.T) {
	options := &server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, MaxPayload: 8 << 20, JetStream: true, StoreDir: t.TempDir()}
	nats, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	nats.Start()
	t.Cleanup(func() { nats.Shutdown(); nats.WaitForShutdown() })
	if !nats.ReadyForConnections(10 * time.Second) {
		t.Fatal("NATS does not start")
	}
	o := newOffice(t, "Zoe Example,zoe,,,")
	c := o.config()
	c.NATS = pipeline.NATS{URL: nats.ClientURL(), Replicas: 1}
	alone := c
	alone.Roles, alone.DataDir = []string{pipeline.RoleConsole}, filepath.Join(t.TempDir(), "nothing")
	o.node = startNode(t, alone)
	o.open(o.node, console.Config{})
	o.signIn(aliceToken)

	status, body := o.get("/")
	if status != http.StatusServiceUnavailable {
		t.Errorf("without a reconciler the first page is %d", status)
	}
	o.wants(body, "no rollcall server answers", `http-equiv="refresh"`)
	workers := c
	workers.Roles = []string{pipeline.RoleReconciler, pipeline.RoleConnector, pipeline.RoleNormalizer}
	startNode(t, workers)
	for end := time.Now().Add(time.Minute); !strings.Contains(body, ">leads</td>") && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		_, body = o.get("/")
	}
	o.wants(body, ">leads</td>")
	_, page := o.run()
	o.wants(page, `<span class="state applied">`)
	o.wants(o.page("/users?q=zoe"), "Zoe Example")
	if _, err := os.Stat(alone.DataDir); err == nil {
		t.Error("the console made a data directory")
	}
}

// With a certificate everything is encrypted, the session's cookie never leaves otherwise, and a renewed certificate is taken up.
func TestTLS(t *testing.T) {
	o := newOffice(t)
	o.node = startNode(t, o.config())
	dir := t.TempDir()
	c := console.Config{Listen: "0.0.0.0:0", CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key")}
	writeCertificate(t, &c, 1)
	o.open(o.node, c)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(o.url, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	o.url = "https://127.0.0.1:" + port
	o.browser.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	o.signIn(aliceToken)
	o.wants(o.page("/"), "<span>alice</span>")
	answer, err := o.browser.Post(o.url+"/sign-in", "application/x-www-form-urlencoded", strings.NewReader("token="+bobToken))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if cookie := answer.Header.Get("Set-Cookie"); !strings.Contains(cookie, "; Secure") {
		t.Errorf("cookie %s", cookie)
	}
	if serial := answer.TLS.PeerCertificates[0].SerialNumber.Int64(); serial != 1 {
		t.Errorf("certificate %d", serial)
	}
	writeCertificate(t, &c, 2)
	if answer, err = o.browser.Get(o.url + "/"); err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if serial := answer.TLS.PeerCertificates[0].SerialNumber.Int64(); serial != 2 {
		t.Errorf("certificate %d after it was renewed", serial)
	}
}

func writeCertificate(t *testing.T, c *console.Config, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{c.CertFile: {Type: "CERTIFICATE", Bytes: certificate}, c.KeyFile: {Type: "EC PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
