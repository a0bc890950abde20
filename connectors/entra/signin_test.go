package entra

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"software.sslmate.com/src/go-pkcs12"

	"rollcall/connectors"
	"rollcall/connectors/entra/graphtest"
)

func certificate(t *testing.T, ends time.Time) (*x509.Certificate, *rsa.PrivateKey) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(ends.UnixNano()), Subject: pkix.Name{CommonName: "rollcall"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: ends}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c, key
}

func inPEM(t *testing.T, c *x509.Certificate, key *rsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
}

func (tn *tenant) register(certificates ...*x509.Certificate) {
	tn.Register(graphtest.App{ClientID: clientID, Certificates: certificates, Roles: []string{"User.Read.All"}})
}

func TestSignInWithACertificate(t *testing.T) {
	c, key := certificate(t, time.Now().Add(365*24*time.Hour))
	modern, err := pkcs12.Modern.Encode(key, c, nil, "pässword")
	if err != nil {
		t.Fatal(err)
	}
	legacy, err := pkcs12.LegacyDES.Encode(key, c, nil, "pässword")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"cert.pem": inPEM(t, c, key), "modern.pfx": modern, "legacy.pfx": legacy} {
		t.Run(name, func(t *testing.T) {
			tn := newTenant(t, graphtest.Options{})
			fill(tn.Directory, 3)
			tn.register(c)
			tn.cfg.ClientSecretFile, tn.cfg.CertificateFile = "", tn.file(name, content)
			if strings.HasSuffix(name, "pfx") {
				tn.cfg.CertificatePasswordFile = tn.file("password", []byte("pässword\n"))
			}
			m := memory{}
			if tn.read(tn.open(), nil, m); len(m) != 3 {
				t.Errorf("%d users, want 3", len(m))
			}
		})
	}
}

func TestCertificateIsReadAgainWhenItChanges(t *testing.T) {
	old, oldKey := certificate(t, time.Now().Add(time.Hour))
	fresh, freshKey := certificate(t, time.Now().Add(365*24*time.Hour))
	tn := newTenant(t, graphtest.Options{TokenLifetime: time.Second})
	fill(tn.Directory, 1)
	tn.register(old)
	tn.cfg.ClientSecretFile, tn.cfg.CertificateFile = "", tn.file("cert.pem", inPEM(t, old, oldKey))
	c := tn.open()
	tn.read(c, nil, memory{})

	tn.register(fresh) // the old one is gone from the application
	if _, err := c.Read(t.Context(), nil, memory{}.take); !errors.Is(err, connectors.ErrDenied) || !strings.Contains(err.Error(), "AADSTS700027") {
		t.Errorf("old certificate: %v, want denied with AADSTS700027", err)
	}
	tn.file("cert.pem", []byte("half writt"))
	if _, err := c.Read(t.Context(), nil, memory{}.take); !errors.Is(err, connectors.ErrDenied) {
		t.Errorf("half-written certificate: %v, want denied", err)
	}
	tn.file("cert.pem", inPEM(t, fresh, freshKey))
	tn.read(c, nil, memory{})
}

func TestSignInWithAWorkloadIdentity(t *testing.T) {
	tn := newTenant(t, graphtest.Options{})
	tn.Register(graphtest.App{ClientID: clientID, Federated: "the.service.account", Roles: []string{"User.Read.All"}})
	tn.cfg.ClientSecretFile, tn.cfg.WorkloadIdentity = "", tn.file("token", []byte("the.service.account"))
	tn.read(tn.open(), nil, memory{})

	tn.cfg.WorkloadIdentity = tn.file("other", []byte("another.service.account"))
	_, err := tn.open().Read(t.Context(), nil, memory{}.take)
	if !errors.Is(err, connectors.ErrDenied) || strings.Contains(err.Error(), "another.service.account") {
		t.Errorf("wrong assertion: %v, want denied without the assertion", err)
	}
}

func TestSignInWithAManagedIdentity(t *testing.T) {
	tn := newTenant(t, graphtest.Options{})
	fill(tn.Directory, 2)
	imds := tn.StartIMDS(clientID)
	defer imds.Close()
	tn.cfg.ClientSecretFile, tn.cfg.ManagedIdentity, tn.cfg.TenantID = "", true, ""
	c := tn.open()
	// The SDK knows one address only. Nothing leaves this machine: the transport leads it to the emulator.
	credential, err := newCredential(tn.cfg, tn.cfg.cloud(), &http.Client{Transport: leadTo{imds.Listener.Addr().String()}}, c.env.Log)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := newTransport("", tn.cfg.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	if c.client, err = newClient(credential, transport, tn.cfg.cloud(), c.env.Log); err != nil {
		t.Fatal(err)
	}
	m := memory{}
	if tn.read(c, nil, m); len(m) != 2 {
		t.Errorf("%d users, want 2", len(m))
	}
}

// leadTo sends every request to the one address.
type leadTo struct{ address string }

func (l leadTo) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Host = l.address
	return http.DefaultTransport.RoundTrip(r)
}

func TestMetadataServiceIsNeverBehindTheProxy(t *testing.T) {
	transport, err := newTransport("http://proxy.example:3128", "")
	if err != nil {
		t.Fatal(err)
	}
	if (Config{ManagedIdentity: true}).signInTransport(transport).Proxy != nil || (Config{}).signInTransport(transport).Proxy == nil {
		t.Error("the proxy stands where it must not, or does not where it must")
	}
}

func TestSecretsThatEverybodyCanReadAreRefused(t *testing.T) {
	tn := newTenant(t, graphtest.Options{})
	if err := os.Chmod(tn.cfg.ClientSecretFile, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := tn.open().Read(t.Context(), nil, memory{}.take)
	if !errors.Is(err, connectors.ErrSecret) || !strings.HasPrefix(connectors.HintOf(err), "chmod") {
		t.Errorf("%v (hint %q), want a refusal with chmod", err, connectors.HintOf(err))
	}
}

func TestASecretThatIsNotThere(t *testing.T) {
	tn := newTenant(t, graphtest.Options{})
	tn.cfg.ClientSecretFile = tn.file("secret", nil) + ".none"
	_, err := tn.open().Read(t.Context(), nil, memory{}.take)
	if !errors.Is(err, connectors.ErrSecret) || errors.Is(err, connectors.ErrDenied) || connectors.HintOf(err) == "" ||
		!strings.Contains(err.Error(), "client_secret_file: "+tn.cfg.ClientSecretFile+": no such file") {
		t.Errorf("%v (hint %q), want the file's name and a hint", err, connectors.HintOf(err))
	}
}

func TestSecretIsReadAgainWhenItChanges(t *testing.T) {
	tn := newTenant(t, graphtest.Options{TokenLifetime: time.Second})
	c := tn.open()
	tn.read(c, nil, memory{})
	tn.Register(graphtest.App{ClientID: clientID, Secret: "the-new-secret", Roles: []string{"User.Read.All"}})
	tn.file("secret", []byte("the-new-secret"))
	tn.read(c, nil, memory{})
}

func TestUntrustedServerIsNotRetried(t *testing.T) {
	tn := newTenant(t, graphtest.Options{})
	tn.cfg.CAFile = ""
	_, err := tn.open().Read(t.Context(), nil, memory{}.take)
	if !errors.Is(err, connectors.ErrUnreachable) || !strings.Contains(connectors.HintOf(err), "ca_file") || strings.Contains(tn.log.String(), "waiting") {
		t.Errorf("%v (hint %q), log %s", err, connectors.HintOf(err), tn.log.String())
	}
}

func TestProxyCarriesSignInAndGraph(t *testing.T) {
	tn := newTenant(t, graphtest.Options{})
	fill(tn.Directory, 2)
	var tunnels atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Header.Get("Proxy-Authorization") == "" {
			http.Error(w, "no", http.StatusProxyAuthRequired)
			return
		}
		tunnels.Add(1)
		tunnel(w, r.Host)
	}))
	defer proxy.Close()
	tn.cfg.Proxy = strings.Replace(proxy.URL, "http://", "http://rollcall:proxypassword@", 1)
	m := memory{}
	if tn.read(tn.open(), nil, m); len(m) != 2 || tunnels.Load() == 0 {
		t.Errorf("%d users over %d tunnels, want 2 over some", len(m), tunnels.Load())
	}

	tn.cfg.Proxy = "http://rollcall:proxypassword@127.0.0.1:1"
	_, err := tn.open().Read(t.Context(), nil, memory{}.take)
	if !errors.Is(err, connectors.ErrUnreachable) || strings.Contains(err.Error()+tn.log.String(), "proxypassword") {
		t.Errorf("proxy away: %v, want unreachable without the proxy's password", err)
	}
}

func tunnel(w http.ResponseWriter, host string) {
	to, err := net.Dial("tcp", host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.WriteHeader(http.StatusOK)
	from, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	go func() { defer to.Close(); _, _ = io.Copy(to, from) }()
	go func() { defer from.Close(); _, _ = io.Copy(from, to) }()
}

func TestCloudsAreAzures(t *testing.T) {
	for name, want := range map[string]azcloud.Configuration{"public": azcloud.AzurePublic, "us-government": azcloud.AzureGovernment, "china": azcloud.AzureChina} {
		if got := clouds[name].authority; got != want.ActiveDirectoryAuthorityHost {
			t.Errorf("%s: authority %s, want %s", name, got, want.ActiveDirectoryAuthorityHost)
		}
	}
}

func TestCheckNamesWhatIsMissing(t *testing.T) {
	soon := time.Now().Add(9*24*time.Hour + time.Hour)
	for _, c := range []struct {
		name   string
		roles  []string
		ends   time.Time
		groups []string
		want   string // in the lines
		err    string // in the error
	}{
		{"all granted", []string{"User.Read.All", "Application.Read.All"}, time.Now().Add(400 * 24 * time.Hour), nil, "the client secret expires on", ""},
		{"soon to expire", []string{"User.Read.All", "Application.Read.All"}, soon, nil, "in 9 days: renew it", ""},
		{"expiry not visible", []string{"User.Read.All"}, soon, nil, "without Application.Read.All", ""},
		{"no permission", nil, soon, nil, "", "User.Read.All"},
		{"no groups", []string{"User.Read.All"}, soon, []string{"Printing"}, "", "Group.Read.All"},
		{"no such group", []string{"User.Read.All", "Group.Read.All"}, soon, []string{"Printing", "Scanning"}, "", `no group "Scanning"`},
		{"two such groups", []string{"User.Read.All", "Group.Read.All"}, soon, []string{"Twice"}, "", `2 groups are called "Twice"`},
		{"the group", []string{"User.Read.All", "Group.Read.All"}, soon, []string{"printing"}, "the selected groups", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tn := newTenant(t, graphtest.Options{})
			for _, name := range []string{"Printing", "Twice", "Twice"} {
				makeGroup(tn.Directory, name)
			}
			tn.Register(graphtest.App{ClientID: clientID, Secret: secret, SecretExpires: c.ends, Roles: c.roles})
			tn.cfg.Select.Groups, tn.cfg.Select.Later = c.groups, true // as the program does
			lines, err := tn.open("mail").Check(context.Background())
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err) || connectors.HintOf(err) == "") {
				t.Errorf("error %v (hint %q), want %q", err, connectors.HintOf(err), c.err)
			}
			if !strings.Contains(strings.Join(lines, "\n"), c.want) {
				t.Errorf("lines %q, want %q in them", lines, c.want)
			}
			tn.nothingLeaked(t, lines...)
		})
	}
}

func TestWholeRunWarnsOfACertificateThatEnds(t *testing.T) {
	c, key := certificate(t, time.Now().Add(29*24*time.Hour))
	tn := newTenant(t, graphtest.Options{})
	tn.register(c)
	tn.cfg.ClientSecretFile, tn.cfg.CertificateFile = "", tn.file("cert.pem", inPEM(t, c, key))
	o := tn.read(tn.open(), nil, memory{})
	if len(o.Warnings) != 1 || !strings.Contains(o.Warnings[0], "the certificate expires on") {
		t.Errorf("warnings %q", o.Warnings)
	}
}
