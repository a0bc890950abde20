package ldap_test

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/connectors"
	"rollcall/connectors/ldap"
	"rollcall/connectors/ldap/ldaptest"
)

// A domain controller that DNS names is signed in to with a keytab, with DOMAIN\user and with user@domain.
func TestSignInToActiveDirectory(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSambaWith(t, ldaptest.SambaOptions{Kerberos: true, StrongAuth: "allow_sasl_over_tls"})
	c := domainConfig(t, s)
	c.Kerberos = ldap.Kerberos{KeytabFile: s.Keytab("administrator@EXAMPLE.TEST"), Principal: "administrator@EXAMPLE.TEST"}
	if records, o, err := read(t, c); err != nil || !o.Whole || len(records) == 0 || o.Server != "ldaps://"+ldaptest.SambaHost {
		t.Errorf("keytab: %d records, %+v, %v", len(records), o, err)
	}
	for _, test := range []struct {
		name        string
		change      func(c *ldap.Config)
		says, toTry string
		kind        error
	}{
		{"another account", func(c *ldap.Config) { c.Kerberos.Principal = "nobody@EXAMPLE.TEST" }, "there is no such account", "kerberos.principal", connectors.ErrDenied},
		{"unknown host", func(c *ldap.Config) { c.TLS.ServerName = "localhost" }, "knows no LDAP server of this name", "full name", connectors.ErrDenied},
		{"no keytab", func(c *ldap.Config) { c.Kerberos.KeytabFile = filepath.Join(t.TempDir(), "none") }, "none", "check the files", connectors.ErrDenied},
		{"a KDC that is away", func(c *ldap.Config) { c.Kerberos.ConfigFile = away(t) }, "", "port 88", connectors.ErrUnreachable},
		{"in plain", func(c *ldap.Config) { c.Servers, c.AllowPlaintext = []string{"ldap://" + ldaptest.SambaHost}, true }, "(8)", "use ldaps://", connectors.ErrDenied},
	} {
		changed := *c
		test.change(&changed)
		if _, _, err := read(t, &changed); !errors.Is(err, test.kind) || !strings.Contains(fmt.Sprint(err), test.says) || !strings.Contains(connectors.HintOf(err), test.toTry) {
			t.Errorf("%s: %v (try %s)", test.name, err, connectors.HintOf(err))
		}
	}
	for _, name := range []string{`EXAMPLE\administrator`, "administrator@example.test"} {
		plain := *c
		plain.Kerberos, plain.BindDN, plain.BindPassword = ldap.Kerberos{}, name, s.AdminPassword
		if _, o, err := read(t, &plain); err != nil || !o.Whole {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.DemandSigning()
	if _, _, err := read(t, c); !errors.Is(err, connectors.ErrDenied) || !strings.Contains(connectors.HintOf(err), "signed inside TLS too") {
		t.Errorf("a server that demands signing: %v (try %s)", err, connectors.HintOf(err))
	}
}

func domainConfig(t testing.TB, s *ldaptest.Server) *ldap.Config {
	t.Helper()
	at, err := url.Parse(s.LDAPSURL)
	if err != nil {
		t.Fatal(err)
	}
	dns := ldaptest.StartDNS(t, "_ldap._tcp.dc._msdcs.example.test. 60 IN SRV 0 100 389 "+ldaptest.SambaHost+".", ldaptest.SambaHost+". 60 IN A "+at.Hostname())
	return &ldap.Config{Type: "active-directory", DNSServer: dns, TLS: ldap.TLS{CAFile: s.CAFile}, BaseDNs: []string{s.Suffix}, Filter: "(objectClass=user)"}
}

// away is a krb5.conf with a KDC at a port where nobody answers.
func away(t testing.TB) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "krb5.conf")
	const text = "[libdefaults]\n default_realm = EXAMPLE.TEST\n udp_preference_limit = 1\n[realms]\n EXAMPLE.TEST = {\n  kdc = 127.0.0.1:1\n }\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
