package entra

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/rs/zerolog"
	"software.sslmate.com/src/go-pkcs12"

	"rollcall/connectors"
)

// newTransport returns the transport of both the sign-in and Graph.
func newTransport(proxy, caFile string) (*http.Transport, error) {
	t := &http.Transport{
		ForceAttemptHTTP2: true, TLSHandshakeTimeout: 20 * time.Second, IdleConnTimeout: 30 * time.Second,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if proxy != "" {
		u, err := url.Parse(proxy)
		if err != nil {
			return nil, errors.New("proxy: not a URL")
		}
		t.Proxy = http.ProxyURL(u)
	}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file: %s holds no certificate in PEM", caFile)
		}
		t.TLSClientConfig.RootCAs = roots
	}
	return t, nil
}

// signInTransport is t, without its proxy for the machine's own metadata service.
func (c Config) signInTransport(t *http.Transport) *http.Transport {
	if !c.ManagedIdentity {
		return t
	}
	t = t.Clone()
	t.Proxy = nil
	return t
}

// newCredential returns what cfg signs in with. Files are read at the first sign-in and again when they change.
func newCredential(cfg Config, where cloud, transport policy.Transporter, log zerolog.Logger) (azcore.TokenCredential, error) {
	options := azcore.ClientOptions{
		Cloud:     azcloud.Configuration{ActiveDirectoryAuthorityHost: where.authority, Services: map[azcloud.ServiceName]azcloud.ServiceConfiguration{}},
		Transport: transport,
		Retry:     policy.RetryOptions{MaxRetries: -1}, // our own loop retries, and says so
		Telemetry: policy.TelemetryOptions{Disabled: true},
	}
	switch {
	case cfg.ManagedIdentity:
		o := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: options}
		if cfg.ClientID != "" {
			o.ID = azidentity.ClientID(cfg.ClientID)
		}
		return azidentity.NewManagedIdentityCredential(o)
	case cfg.WorkloadIdentity != "":
		return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
			ClientOptions: options, TenantID: cfg.TenantID, ClientID: cfg.ClientID, TokenFilePath: cfg.WorkloadIdentity, DisableInstanceDiscovery: where.custom,
		})
	case cfg.CertificateFile != "":
		return &reloading{log: log, files: []string{cfg.CertificateFile, cfg.CertificatePasswordFile}, open: func() (azcore.TokenCredential, error) {
			certificates, key, err := readCertificate(cfg.CertificateFile, cfg.CertificatePasswordFile)
			if err != nil {
				return nil, err
			}
			return azidentity.NewClientCertificateCredential(cfg.TenantID, cfg.ClientID, certificates, key,
				&azidentity.ClientCertificateCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: where.custom})
		}}, nil
	}
	return &reloading{log: log, files: []string{cfg.ClientSecretFile}, open: func() (azcore.TokenCredential, error) {
		secret, err := cfg.secret()
		if err != nil {
			return nil, err
		}
		return azidentity.NewClientSecretCredential(cfg.TenantID, cfg.ClientID, secret,
			&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: where.custom})
	}}, nil
}

func (c Config) secret() (string, error) {
	if c.ClientSecretFile == "" {
		return c.ClientSecret, nil
	}
	b, err := readSecret("client_secret_file", c.ClientSecretFile)
	return strings.TrimSpace(string(b)), err
}

// reloading is a credential that is made from files, and made anew when one of them changes. While
// a changed file cannot be read (it is just being written) the last credential stays.
type reloading struct {
	files []string // "" is none
	open  func() (azcore.TokenCredential, error)
	log   zerolog.Logger

	mu      sync.Mutex
	stamp   string
	current azcore.TokenCredential
}

// GetToken signs in, or returns the token of the last sign-in while it is good.
func (r *reloading) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	c, err := r.credential()
	if err != nil {
		return azcore.AccessToken{}, err
	}
	return c.GetToken(ctx, o)
}

func (r *reloading) credential() (azcore.TokenCredential, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	stamp := stampOf(r.files)
	if r.current != nil && stamp == r.stamp {
		return r.current, nil
	}
	c, err := r.open()
	switch {
	case err != nil && r.current == nil:
		return nil, &credentialError{err}
	case err != nil:
		r.log.Warn().Err(err).Msg("the changed credential cannot be read; the last one is used")
	default:
		r.current, r.stamp = c, stamp
	}
	return r.current, nil
}

// credentialError is a credential that could not even be read.
type credentialError struct{ error }

func (e *credentialError) Unwrap() error { return e.error }

func stampOf(files []string) string {
	var b strings.Builder
	for _, f := range files {
		if info, err := os.Stat(f); f != "" && err == nil {
			fmt.Fprintf(&b, "%d %d;", info.ModTime().UnixNano(), info.Size())
		}
	}
	return b.String()
}

// readCertificate reads a certificate and its RSA key from PEM or PFX.
func readCertificate(file, passwordFile string) ([]*x509.Certificate, crypto.PrivateKey, error) {
	data, err := readSecret("certificate_file", file)
	if err != nil {
		return nil, nil, err
	}
	var password []byte
	if passwordFile != "" {
		if password, err = readSecret("certificate_password_file", passwordFile); err != nil {
			return nil, nil, err
		}
	}
	if strings.Contains(string(data), "-----BEGIN") {
		certificates, key, err := azidentity.ParseCertificates(data, nil)
		if err != nil {
			return nil, nil, connectors.Hint(fmt.Errorf("certificate_file: %s: %w", file, err), "Try a PEM file with the certificate and its unencrypted RSA key, or a PFX file with certificate_password_file.")
		}
		return certificates, key, nil
	}
	key, leaf, chain, err := pkcs12.DecodeChain(data, strings.TrimSpace(string(password)))
	if err != nil {
		return nil, nil, connectors.Hint(fmt.Errorf("certificate_file: %s: %w", file, err), "Try to check the password in certificate_password_file.")
	}
	return append([]*x509.Certificate{leaf}, chain...), key, nil
}

// readSecret reads a file that others on this machine may not.
func readSecret(option, file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, fmt.Errorf("%s: %s: %w", option, file, err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o004 != 0 {
		return nil, connectors.Hint(fmt.Errorf("%s: everybody on this machine can read %s", option, file), "Try: chmod o-r "+file)
	}
	return os.ReadFile(file)
}
