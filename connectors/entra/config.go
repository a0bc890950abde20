package entra

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"rollcall/connectors"
)

// Config is the configuration of a source of kind "entra".
type Config struct {
	// Cloud is public (also ""), us-government, us-dod, china or custom; custom needs Authority and GraphURL.
	Cloud     string `yaml:"cloud"`
	Authority string `yaml:"authority"`
	GraphURL  string `yaml:"graph_url"`
	TenantID  string `yaml:"tenant_id"`
	// ClientID is the application's id; with ManagedIdentity that of a user-assigned identity, or "".
	ClientID string `yaml:"client_id"`

	// Exactly one way to sign in: a secret, a certificate (PEM or PFX), a workload or a managed identity.
	ClientSecret            string `yaml:"client_secret"`
	ClientSecretFile        string `yaml:"client_secret_file"`
	CertificateFile         string `yaml:"certificate_file"`
	CertificatePasswordFile string `yaml:"certificate_password_file"`
	// WorkloadIdentity is the path of the federated token's file.
	WorkloadIdentity string `yaml:"workload_identity"`
	ManagedIdentity  bool   `yaml:"managed_identity"`

	// Proxy is an http or https URL, CAFile a PEM file of roots trusted beside the system's.
	Proxy  string `yaml:"proxy"`
	CAFile string `yaml:"ca_file"`

	Select Selection `yaml:"select"`
	// ReconcileEvery is how often a whole run is due beside the incremental ones. The connector leaves it to
	// whoever schedules runs.
	ReconcileEvery time.Duration `yaml:"reconcile_every"`
}

// Selection says who of the tenant belongs to the source (rule E2).
type Selection struct {
	// Groups are ids or names of groups; a user belongs who is in any of them. None means all users.
	Groups []string `yaml:"groups"`
	// Nested counts members of groups within groups too; nil is true.
	Nested *bool `yaml:"nested"`
	// Later leaves Groups and Nested to whoever takes the records: everybody is emitted, and all groups.
	Later  bool `yaml:"-"`
	Guests bool `yaml:"guests"`
	// DisabledAccounts and Where are evaluated after the connector (rules L6 and E2); they are part of the scope.
	DisabledAccounts string   `yaml:"disabled_accounts"`
	Where            []string `yaml:"where"`
}

var _ connectors.Config = Config{}

// Kind returns "entra".
func (Config) Kind() string { return "entra" }

// Scope describes who is read.
func (c Config) Scope() string {
	groups := slices.Sorted(slices.Values(c.Select.Groups))
	return fmt.Sprintf("tenant %s, groups %q, nested %t, guests %t, disabled accounts %q, where %q, key id",
		strings.ToLower(c.TenantID), groups, c.nested(), c.Select.Guests, c.Select.DisabledAccounts, c.Select.Where)
}

// Validate returns every mistake in the configuration.
func (c Config) Validate() error {
	errs := []error{c.validateCloud(), c.validateSignIn(), validateURL("proxy", c.Proxy, "http", "https")}
	if !c.ManagedIdentity || c.TenantID != "" {
		if !validID(c.TenantID) {
			errs = append(errs, connectors.Hint(fmt.Errorf("tenant_id: %q is no tenant", c.TenantID),
				"Try the directory (tenant) ID from the application's overview page."))
		}
	}
	if c.ClientID == "" && !c.ManagedIdentity {
		errs = append(errs, connectors.Hint(errors.New("client_id is missing"),
			"Try the application (client) ID from the application's overview page."))
	}
	if d := c.Select.DisabledAccounts; d != "" && !slices.Contains([]string{"deactivate", "missing", "import"}, d) {
		errs = append(errs, fmt.Errorf("select.disabled_accounts: %q is none of deactivate, missing, import", d))
	}
	if slices.Contains(c.Select.Groups, "") {
		errs = append(errs, errors.New("select.groups: an empty name"))
	}
	if c.ReconcileEvery < 0 {
		errs = append(errs, errors.New("reconcile_every is negative"))
	}
	return errors.Join(errs...)
}

// Open returns a connector for the tenant.
func (c Config) Open(env connectors.Env) (connectors.Connector, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	where := c.cloud()
	transport, err := newTransport(c.Proxy, c.CAFile)
	if err != nil {
		return nil, err
	}
	credential, err := newCredential(c, where, &http.Client{Transport: c.signInTransport(transport), Timeout: time.Minute}, env.Log)
	if err != nil {
		return nil, err
	}
	client, err := newClient(credential, transport, where, env.Log)
	if err != nil {
		return nil, err
	}
	if env.Waiting != nil {
		client.wait = func(ctx context.Context, d time.Duration) error {
			defer env.Waiting(d)()
			return sleep(ctx, d)
		}
	}
	w := newWanted(env.Attributes)
	w.groups = w.groups || c.Select.Later && len(c.Select.Groups) > 0
	return &connector{config: c, env: env, client: client, credential: credential, now: time.Now, wanted: w}, nil
}

// walks says whether the connector itself finds out who is in the selected groups.
func (c Config) walks() bool { return len(c.Select.Groups) > 0 && !c.Select.Later }

func (c Config) nested() bool { return c.Select.Nested == nil || *c.Select.Nested }

func (c Config) validateCloud() error {
	if c.Cloud == "custom" {
		return errors.Join(required("authority", c.Authority), validateURL("authority", c.Authority, "https"),
			required("graph_url", c.GraphURL), validateURL("graph_url", c.GraphURL, "https"))
	}
	if _, ok := clouds[c.Cloud]; !ok {
		return connectors.Hint(fmt.Errorf("cloud: %q is not known", c.Cloud), "Try public, us-government, us-dod, china or custom.")
	}
	if c.Authority != "" || c.GraphURL != "" {
		return connectors.Hint(errors.New("authority and graph_url belong to cloud: custom"), "Try to remove them, or set cloud: custom.")
	}
	return nil
}

func (c Config) validateSignIn() error {
	var ways []string
	for _, way := range []struct {
		name  string
		given bool
	}{
		{"client_secret", c.ClientSecret != ""}, {"client_secret_file", c.ClientSecretFile != ""},
		{"certificate_file", c.CertificateFile != ""}, {"workload_identity", c.WorkloadIdentity != ""}, {"managed_identity", c.ManagedIdentity},
	} {
		if way.given {
			ways = append(ways, way.name)
		}
	}
	switch {
	case len(ways) == 0:
		return connectors.Hint(errors.New("there is no way to sign in"), "Try one of client_secret_file, certificate_file, workload_identity, managed_identity.")
	case len(ways) > 1:
		return fmt.Errorf("there is more than one way to sign in: %s", strings.Join(ways, ", "))
	case c.CertificatePasswordFile != "" && c.CertificateFile == "":
		return errors.New("certificate_password_file needs certificate_file")
	}
	return nil
}

func required(name, value string) error {
	if value == "" {
		return fmt.Errorf("%s is missing", name)
	}
	return nil
}

func validateURL(name, value string, schemes ...string) error {
	if value == "" {
		return nil
	}
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || !slices.Contains(schemes, u.Scheme) {
		return fmt.Errorf("%s: not an %s URL", name, strings.Join(schemes, " or ")) // the value may hold a password
	}
	return nil
}

// validID says whether s can be a tenant: an id or a domain name.
func validID(s string) bool {
	return s != "" && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789-.") == ""
}
