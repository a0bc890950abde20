package config

import (
	"errors"
	"fmt"
	"time"

	"rollcall/connectors"
)

// entra is the configuration of a Microsoft Entra ID source: read and checked, but this version has no
// connector for it.
type entra struct {
	Cloud                   string        `yaml:"cloud"`
	Authority               string        `yaml:"authority"`
	GraphURL                string        `yaml:"graph_url"`
	TenantID                string        `yaml:"tenant_id"`
	ClientID                string        `yaml:"client_id"`
	ClientSecret            string        `yaml:"client_secret"`
	ClientSecretFile        string        `yaml:"client_secret_file"`
	CertificateFile         string        `yaml:"certificate_file"`
	CertificatePasswordFile string        `yaml:"certificate_password_file"`
	WorkloadIdentity        string        `yaml:"workload_identity"`
	ManagedIdentity         bool          `yaml:"managed_identity"`
	Proxy                   string        `yaml:"proxy"`
	CAFile                  string        `yaml:"ca_file"`
	ReconcileEvery          time.Duration `yaml:"reconcile_every"`
}

func (e *entra) Kind() string  { return "entra" }
func (e *entra) Scope() string { return "tenant " + e.TenantID }

func (e *entra) Validate() error {
	var all []error
	missing := func(key, value string) {
		if value == "" {
			all = append(all, fmt.Errorf("%s: is missing", key))
		}
	}
	missing("tenant_id", e.TenantID)
	missing("client_id", e.ClientID)
	switch e.Cloud {
	case "", "public", "us-government", "us-dod", "china", "custom":
	default:
		all = append(all, connectors.Hint(fmt.Errorf("cloud: %q is not possible", e.Cloud), "public, us-government, us-dod, china, custom"))
	}
	if e.credentials() != 1 {
		all = append(all, connectors.Hint(errors.New("one way to sign in is needed"), "client_secret_file: /run/secrets/entra"))
	}
	return errors.Join(all...)
}

func (e *entra) credentials() int {
	n := 0
	for _, given := range []bool{e.ClientSecret != "", e.ClientSecretFile != "", e.CertificateFile != "", e.WorkloadIdentity != "", e.ManagedIdentity} {
		if given {
			n++
		}
	}
	return n
}

func (e *entra) Open(env connectors.Env) (connectors.Connector, error) {
	return nil, connectors.Hint(fmt.Errorf("source %s: this version of Rollcall does not read Entra ID", env.Source), "enabled: false")
}
