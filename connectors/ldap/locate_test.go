package ldap_test

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"rollcall/connectors"
	"rollcall/connectors/ldap"
	"rollcall/connectors/ldap/ldaptest"
)

// Servers that are not named are found in DNS: those of lower priority numbers first, the next when one is away (L2).
func TestServersFromDNS(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdOptions{})
	at, err := url.Parse(s.LDAPSURL)
	if err != nil {
		t.Fatal(err)
	}
	records := []string{
		"_ldap._tcp.example.com. 60 IN SRV 10 0 389 away.example.com.", "_ldap._tcp.example.com. 60 IN SRV 20 0 389 here.example.com.",
		"away.example.com. 60 IN A 127.0.0.1", "here.example.com. 60 IN A 127.0.0.1",
		"_ldap._tcp.forged.example. 60 IN SRV 10 0 389 ldap.intruder.example.", "ldap.intruder.example. 60 IN A 127.0.0.1",
	}
	c := &ldap.Config{Type: "openldap", Servers: []string{"ldaps://away.example.com:1", "ldaps://:" + at.Port()}, DNSServer: ldaptest.StartDNS(t, records...),
		TLS: ldap.TLS{CAFile: s.CAFile, ServerName: "localhost"}, BindDN: s.SyncDN, BindPassword: s.SyncPassword, BaseDNs: []string{s.Suffix}, Filter: "(objectClass=*)"}
	_, o, err := read(t, c)
	if want := "ldaps://away.example.com:" + at.Port(); err != nil || !o.Whole || o.Server != want {
		t.Errorf("server %q, want %q: %v", o.Server, want, err)
	}
	lines, err := open(t, c).Check(t.Context())
	if want := "DNS names the servers of example.com: ldaps://away.example.com:1, ldaps://away.example.com:" + at.Port() + ", ldaps://here.example.com:" + at.Port(); err != nil || !slices.Contains(lines, want) {
		t.Errorf("check says %q, %v, want %q", lines, err, want)
	}
	for base, words := range map[string]string{"dc=forged,dc=example": "ldap.intruder.example", "dc=nowhere,dc=example": "DNS names no servers of nowhere.example"} {
		c.Servers, c.BaseDNs = []string{"ldaps://"}, []string{"ou=people," + base}
		if _, _, err := read(t, c); !errors.Is(err, connectors.ErrUnreachable) || !strings.Contains(fmt.Sprint(err), words) || !strings.Contains(connectors.HintOf(err), "servers") {
			t.Errorf("%s: %v (try %s)", base, err, connectors.HintOf(err))
		}
	}
}

// The names asked of DNS are those that Active Directory registers.
func TestNamesAskedOfDNS(t *testing.T) {
	t.Parallel()
	dns := ldaptest.StartDNS(t,
		"_ldap._tcp.dc._msdcs.sub.corp.example. 60 IN SRV 0 100 389 DC1.sub.corp.example.", "_gc._tcp.sub.corp.example. 60 IN SRV 0 100 3268 gc.sub.corp.example.")
	for _, test := range []struct {
		servers []string
		tls     ldap.TLS
		want    string
	}{
		{nil, ldap.TLS{}, "ldaps://dc1.sub.corp.example: the host name"},
		{nil, ldap.TLS{StartTLS: true}, "ldap://dc1.sub.corp.example:389: the host name"},
		{[]string{"ldaps://"}, ldap.TLS{}, "ldaps://dc1.sub.corp.example: the host name"},
		{[]string{"ldaps://:3269"}, ldap.TLS{}, "ldaps://gc.sub.corp.example:3269: the host name"},
	} {
		c := &ldap.Config{Type: "active-directory", Servers: test.servers, TLS: test.tls, DNSServer: dns, BindDN: "CORP\\sync", BindPassword: "x",
			BaseDNs: []string{"OU=Staff,DC=sub,DC=corp,DC=example"}}
		if _, _, err := read(t, c); !errors.Is(err, connectors.ErrUnreachable) || !strings.Contains(fmt.Sprint(err), test.want) {
			t.Errorf("servers %q: %v, want %s", test.servers, err, test.want)
		}
	}
}

// Nothing travels in plain beyond this machine that was not allowed to, wherever the servers come from.
func TestNothingInPlain(t *testing.T) {
	for name, test := range map[string]struct {
		config ldap.Config
		says   string
	}{
		"password":             {ldap.Config{Servers: []string{"ldap://dc1.corp.example"}, BindDN: "CORP\\sync", BindPassword: "x"}, "the password of CORP\\sync would travel unencrypted to ldap://dc1.corp.example"},
		"password, from DNS":   {ldap.Config{Servers: []string{"ldap://"}, BindDN: "CORP\\sync", BindPassword: "x"}, "the password of CORP\\sync would travel unencrypted"},
		"kerberos":             {ldap.Config{Servers: []string{"ldap://dc1.corp.example"}, Kerberos: ldap.Kerberos{KeytabFile: "k", Principal: "sync@CORP.EXAMPLE"}}, "unencrypted and unsigned"},
		"allowed":              {ldap.Config{Servers: []string{"ldap://dc1.corp.example"}, BindDN: "CORP\\sync", BindPassword: "x", AllowPlaintext: true}, ""},
		"StartTLS":             {ldap.Config{BindDN: "CORP\\sync", BindPassword: "x", TLS: ldap.TLS{StartTLS: true}}, ""},
		"no host, no domain":   {ldap.Config{BindDN: "CORP\\sync", BindPassword: "x", BaseDNs: []string{"o=corp"}}, "neither a host nor"},
		"half of kerberos":     {ldap.Config{Kerberos: ldap.Kerberos{Principal: "sync@CORP.EXAMPLE"}}, "belong together"},
		"kerberos and bind_dn": {ldap.Config{BindDN: "CORP\\sync", BindPassword: "x", Kerberos: ldap.Kerberos{KeytabFile: "k", Principal: "sync@CORP.EXAMPLE"}}, "two ways"},
	} {
		c := test.config
		c.Type = "active-directory"
		if c.BaseDNs == nil {
			c.BaseDNs = []string{"dc=corp,dc=example"}
		}
		if err := c.Validate(); fmt.Sprint(err) == "<nil>" != (test.says == "") || !strings.Contains(fmt.Sprint(err), test.says) {
			t.Errorf("%s: %v, want %q", name, err, test.says)
		}
	}
}
