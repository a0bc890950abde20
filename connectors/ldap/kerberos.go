package ldap

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/go-ldap/ldap/v3"
	"github.com/go-ldap/ldap/v3/gssapi"
	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/keytab"

	"rollcall/connectors"
)

// Kerberos signs in with a key in place of a password (SASL GSSAPI, RFC 4752).
type Kerberos struct {
	// KeytabFile holds the account's keys.
	KeytabFile string `yaml:"keytab_file"`
	// Principal is the account, user@REALM.
	Principal string `yaml:"principal"`
	// ConfigFile is a krb5.conf. Without it the LDAP server itself is asked for tickets, on port 88: every domain controller gives them.
	ConfigFile string `yaml:"config_file"`
}

// signIn signs in to the service ldap/host, host being the name in the server's certificate.
func (k Kerberos) signIn(se *session) error {
	user, err := k.client(se)
	if err != nil {
		return connectors.Hint(fmt.Errorf("%w: kerberos: %w", connectors.ErrDenied, err), "check the files and the principal under kerberos")
	}
	defer user.Destroy()
	err = se.conn.GSSAPIBind(&gssapi.Client{Client: user}, "ldap/"+se.host, "")
	if err == nil {
		return nil
	}
	doing := "sign in as " + k.Principal
	if se.ctx.Err() != nil || se.tap.failure() != nil {
		return se.say(err, doing)
	}
	var result *ldap.Error
	words, try, kind := explainTicket(err)
	if errors.As(err, &result) {
		words, try, kind = explain(err)
		if result.ResultCode == ldap.LDAPResultStrongAuthRequired && se.encrypted {
			try = "the server wants its answers signed inside TLS too, which rollcall does not: allow SASL over TLS on the server, or sign in with bind_dn and a password"
		} else if result.ResultCode == ldap.LDAPResultInvalidCredentials && strings.Contains(words, "80090346") {
			try = "the server wants the sign-in bound to the TLS channel, which rollcall does not: use bind_dn and a password"
		}
	}
	return connectors.Hint(fmt.Errorf("%w: %s: %s: %s", kind, se.server, doing, words), try)
}

func (k Kerberos) client(se *session) (*client.Client, error) {
	keys, err := keytab.Load(k.KeytabFile)
	if err != nil {
		return nil, fmt.Errorf("keytab_file %s: %w", k.KeytabFile, err)
	}
	name, realm, _ := strings.Cut(k.Principal, "@")
	conf, err := k.config(realm, se.tap.RemoteAddr())
	if err != nil {
		return nil, fmt.Errorf("config_file %s: %w", k.ConfigFile, err)
	}
	return client.NewWithKeytab(name, realm, keys, conf, client.DisablePAFXFAST(true)), nil // domain controllers refuse the question about FAST
}

// config is the krb5.conf, or one that names the LDAP server.
func (k Kerberos) config(realm string, server net.Addr) (*config.Config, error) {
	if k.ConfigFile != "" {
		return config.Load(k.ConfigFile)
	}
	host, _, err := net.SplitHostPort(server.String())
	if err != nil {
		return nil, err
	}
	return config.NewFromString(fmt.Sprintf("[libdefaults]\n default_realm = %[1]s\n dns_lookup_kdc = false\n udp_preference_limit = 1\n[realms]\n %[1]s = {\n  kdc = %[2]s\n }\n",
		realm, net.JoinHostPort(host, "88")))
}

// ticketReasons are the reasons for which no ticket is had, by what Kerberos calls them (RFC 4120, 7.5.9).
var ticketReasons = []struct{ sign, words, try string }{
	{"KDC_ERR_C_PRINCIPAL_UNKNOWN", "there is no such account", "check kerberos.principal, the realm in capitals"},
	{"KDC_ERR_CLIENT_REVOKED", "the account is disabled or locked", "enable it, or use another"},
	{"KDC_ERR_KEY_EXPIRED", "the password has expired", "give the account a password that does not expire, and make the keytab anew"},
	{"KDC_ERR_PREAUTH_FAILED", "the key in the keytab is not the account's", "was its password changed? make the keytab anew"},
	{"KRB_AP_ERR_SKEW", "the clocks of this machine and the domain controller differ too much", "set both by NTP"},
	{"KDC_ERR_S_PRINCIPAL_UNKNOWN", "the domain knows no LDAP server of this name", "use the server's full name in servers, as in dc1.corp.example, and no address"},
	{"KDC_ERR_ETYPE_NOSUPP", "the keytab and the account have no kind of key in common", "make the keytab anew, with AES keys"},
	{"matching key not found in keytab", "the keytab holds no key of this account", "check kerberos.principal, the realm in capitals; klist -k shows what the keytab holds"},
}

func explainTicket(err error) (words, try string, kind error) {
	for _, r := range ticketReasons {
		if strings.Contains(err.Error(), r.sign) {
			return r.words + " (" + r.sign + ")", r.try, connectors.ErrDenied
		}
	}
	return err.Error(), "does port 88 of the domain controller answer? kerberos.config_file names another", connectors.ErrUnreachable
}

// validate returns what is missing or too much.
func (k Kerberos) validate(c *Config) error {
	name, realm, _ := strings.Cut(k.Principal, "@")
	switch {
	case k == Kerberos{}:
		return nil
	case k.KeytabFile == "" || name == "" || realm == "":
		return connectors.Hint(errors.New("kerberos: keytab_file and principal belong together"), "principal: sync@CORP.EXAMPLE")
	case c.BindDN != "":
		return errors.New("kerberos and bind_dn are two ways to sign in: give one of them")
	}
	return refuseReadable("kerberos.keytab_file", k.KeytabFile)
}

// serviceHost is the name that tickets are asked for: the one in the certificate.
func (c *Config) serviceHost(host string) string { return cmp.Or(c.TLS.ServerName, host) }
