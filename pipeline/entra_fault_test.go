package pipeline_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/connectors/entra"
	"rollcall/connectors/entra/graphtest"
	"rollcall/pipeline"
	"rollcall/store"
)

// crowdedCloud is a tenant of n people after its first run.
func crowdedCloud(t *testing.T, n int, o graphtest.Options) (*cloud, []string) {
	t.Helper()
	c := newCloud(t, o)
	ids := make([]string, n)
	for i := range ids {
		ids[i] = c.add(fmt.Sprintf("p%02d", i))
	}
	c.start()
	c.first()
	return c, ids
}

// Graph forgets where the reader was in the middle of a round: a full run follows in the same job and finds who was deleted for good
// in the gap.
func TestGraphForgetsInTheMiddleOfARound(t *testing.T) {
	for _, code := range []struct {
		status int
		body   string
	}{{410, `{"error":{"code":"resyncRequired","message":"Resync"}}`}, {400, `{"error":{"code":"SyncStateNotFound","message":""}}`}} {
		t.Run(fmt.Sprint(code.status), func(t *testing.T) {
			c, ids := crowdedCloud(t, 30, graphtest.Options{PageSize: 5})
			for _, id := range ids[:20] {
				c.d.Patch(id, graphtest.Properties{"department": "IT"})
			}
			c.d.Delete(ids[25])
			c.d.Purge(ids[25])
			fault := c.Inject(&graphtest.Fault{Path: "/users/delta", Skip: 1, Times: 1, Status: code.status, ContentType: "application/json", Body: code.body})
			run := c.sync()
			if run.State != store.Applied || run.Kind != "full" || fault.Hits() != 1 || counters(run) != "read 30, unchanged 9, updated 20, deletions 1, deactivated 1" {
				t.Fatalf("run is %s %s (%s): %s, after %d faults", run.Kind, run.State, run.Reason, counters(run), fault.Hits())
			}
			c.compare("after the gap")
		})
	}
}

// Links that expired while nobody asked: who was deleted in the gap is found.
func TestAUserIsDeletedInTheGap(t *testing.T) {
	for _, with400 := range []bool{false, true} {
		c, ids := crowdedCloud(t, 20, graphtest.Options{PageSize: 7, ExpireWith400: with400})
		c.Advance(8 * 24 * time.Hour)
		c.d.Delete(ids[3])
		c.d.Purge(ids[3])
		c.d.Patch(ids[4], graphtest.Properties{"department": "IT"})
		if run := c.sync(); run.State != store.Applied || run.Kind != "full" || run.Deactivated != 1 || run.Updated != 1 {
			t.Fatalf("run is %s %s (%s): %s", run.Kind, run.State, run.Reason, counters(run))
		}
		c.compare("after the gap")
		c.expect("then", "incremental")
	}
}

// A tenant that answers 410 to everything makes nobody loop, and changes nothing.
func TestATenantThatAnswers410ForEver(t *testing.T) {
	c, ids := crowdedCloud(t, 20, graphtest.Options{PageSize: 7})
	c.d.Delete(ids[3])
	c.ResyncAlways(true)
	c.Requests()
	for range 2 {
		run := c.sync()
		if run.State != store.Failed || run.Kind != "full" || run.Again || run.Deactivated != 0 {
			t.Fatalf("run is %s %s (%s): %s", run.Kind, run.State, run.Reason, counters(run))
		}
	}
	if asked := len(c.Requests()); asked > 20 {
		t.Errorf("%d requests for two runs", asked)
	}
	c.ResyncAlways(false)
	if run := c.sync(); run.State != store.Applied || run.Deactivated != 1 {
		t.Fatalf("run is %s (%s): %s", run.State, run.Reason, counters(run))
	}
	c.compare("when it was over")
}

// The secret expires in the middle of a run: nothing changes, the reason says what to do, and nothing is lost.
func TestTheSecretExpiresInMidRun(t *testing.T) {
	for _, options := range []pipeline.SyncOptions{{}, full} {
		c, ids := crowdedCloud(t, 30, graphtest.Options{PageSize: 5})
		for _, id := range ids[:20] {
			c.d.Patch(id, graphtest.Properties{"department": "IT"})
		}
		c.d.Delete(ids[29])
		before := c.revision()
		c.Inject(&graphtest.Fault{Path: "/users/delta", Skip: 1, Times: 1, Do: func() {
			c.Register(graphtest.App{ClientID: graphClient, Secret: graphSecret, SecretExpires: time.Now().Add(-time.Hour), Roles: []string{"User.Read.All"}})
			c.Revoke()
		}})
		run := c.sync(options)
		if run.State != store.Failed || !strings.Contains(run.Reason, "AADSTS7000222") || run.Try == "" || c.revision() != before {
			t.Fatalf("run is %s: %q, try %q; revisions %d to %d", run.State, run.Reason, run.Try, before, c.revision())
		}
		register(c.Server)
		if run := c.sync(options); run.State != store.Applied || run.Updated != 20 || run.Deactivated != 1 {
			t.Fatalf("run is %s (%s): %s", run.State, run.Reason, counters(run))
		}
		c.compare("with a new secret")
	}
}

// A storm of 429 is waited out, visibly, without a retry that comes too early.
func TestAStormOf429(t *testing.T) {
	c, ids := crowdedCloud(t, 20, graphtest.Options{PageSize: 4})
	c.d.Patch(ids[0], graphtest.Properties{"department": "IT"})
	for _, o := range []pipeline.SyncOptions{{}, full} {
		c.Inject(&graphtest.Fault{Path: "/users/delta", Throttle: true, Wait: time.Second, Times: 2})
		var mu sync.Mutex
		waited := 0
		job, err := c.client.Sync(t.Context(), "people", o)
		if err != nil {
			t.Fatal(err)
		}
		run, err := c.client.Follow(t.Context(), "people", job, func(p pipeline.Progress) {
			mu.Lock()
			defer mu.Unlock()
			if p.Stage == "waiting" {
				waited++
			}
		})
		mu.Lock()
		if err != nil || run.State != store.Applied || waited < 2 || c.Early() != 0 {
			t.Fatalf("run is %s (%s), %v; waiting was told %d times, %d retries were early", run.State, run.Reason, err, waited, c.Early())
		}
		mu.Unlock()
		c.ClearFaults()
		c.compare("after the storm")
	}
}

// E1: several tenants are several sources: the same person in two of them is one user per rule O3, and the end of one tenant's user is none
// of the other's business.
func TestE1SeveralTenants(t *testing.T) {
	c := newCloud(t, graphtest.Options{})
	other, reader := startGraph(t, graphtest.Options{Tenant: "22222222-2222-4222-8222-222222222222"})
	second := pipeline.Source{Name: "other", Enabled: true, Reader: reader, Options: rosterOptions("other")}
	mapGraph(&second)
	c.config.Sources = append(c.config.Sources, second)
	a := c.add("alice")
	b := other.Directory.AddUser(graphtest.Properties{"userPrincipalName": "bob@example.com", "displayName": "Bob", "accountEnabled": true})
	c.start()
	c.first()
	run := func(want string) {
		t.Helper()
		job, err := c.client.Sync(t.Context(), "other", pipeline.SyncOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if run, err := c.client.Follow(t.Context(), "other", job, nil); err != nil || run.State != store.Applied || counters(run) != want {
			t.Fatalf("run of the other tenant is %s (%s): %s, %v; want %s", run.State, run.Reason, counters(run), err, want)
		}
	}
	run("read 1, created 1")
	c.d.Delete(a)
	c.wants("incremental", "read 1, deletions 1, deactivated 1")
	other.Directory.Patch(b, graphtest.Properties{"department": "IT"})
	run("read 1, updated 1")
	if u := c.user("bob@example.com"); !u.Active || u.Label != "other" || u.Text[store.Department] != "IT" {
		t.Errorf("bob is %+v", u)
	}
}

// Promise 7: no token, secret or assertion is in a stream, the store, a log or an error.
func TestNoTokenTravels(t *testing.T) {
	var logged bytes.Buffer
	c := newCloud(t, graphtest.Options{PageSize: 3, TokenLifetime: time.Minute})
	c.logged = &lockedBuffer{to: &logged}
	key := filepath.Join(t.TempDir(), "app.pem")
	certificate, both := selfSigned(t)
	if err := os.WriteFile(key, both, 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		c.add(fmt.Sprintf("p%02d", i))
	}
	reader := c.config.Sources[0].Reader.(*entra.Config)
	c.start()
	c.first()
	c.Advance(2 * time.Minute)
	c.add("alice")
	c.expect("another token", "incremental", "created alice@example.org")
	c.Inject(&graphtest.Fault{Path: "/users/delta", Status: 503, Times: 1})
	c.expect("after a wait", "incremental")
	c.Inject(&graphtest.Fault{Path: "/users/delta", Status: 403, ContentType: "application/json", Times: 1,
		Body: `{"error":{"code":"Authorization_RequestDenied","message":"Insufficient privileges"}}`})
	if run := c.sync(); run.State != store.Failed {
		t.Errorf("run is %s", run.State)
	}
	c.stop()
	c.Register(graphtest.App{ClientID: graphClient, Certificates: []*x509.Certificate{certificate}, Roles: []string{"User.Read.All"}})
	reader.ClientSecretFile, reader.CertificateFile = "", key
	c.start()
	c.add("bob")
	c.expect("with a certificate", "incremental", "created bob@example.org")
	c.Register(graphtest.App{ClientID: graphClient, Secret: "another", Roles: []string{"User.Read.All"}})
	c.Revoke()
	if run := c.sync(); run.State != store.Failed {
		t.Errorf("run is %s", run.State)
	}
	c.stop()
	tokens := c.Tokens()
	if len(tokens) < 3 {
		t.Fatalf("%d tokens were handed out", len(tokens))
	}
	texts := append(tokens, graphSecret, "client_assertion", "PRIVATE KEY", string(both[len(both)-200:len(both)-140]))
	grepFiles(t, c.config.DataDir, texts...)
	for _, text := range append(texts, "deltatoken", "skiptoken") {
		if strings.Contains(logged.String(), text) {
			t.Errorf("the log holds %q", text)
		}
	}
	if !strings.Contains(logged.String(), "waiting for Graph") {
		t.Errorf("the log is not looked at:\n%s", logged.String())
	}
}

// selfSigned returns a certificate, and it and its key in PEM.
func selfSigned(t *testing.T) (*x509.Certificate, []byte) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return c, append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
}

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	to *bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.to.Write(p)
}
