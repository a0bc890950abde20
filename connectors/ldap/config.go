package ldap

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"rollcall/connectors"
)

// Config is the configuration of an LDAP source.
type Config struct {
	// Type is the kind of directory, a key of L1's table: its [Preset] stands for what is not given here.
	Type string `yaml:"type"`
	// Domain is the authentication domain. DNS is asked for its servers where no base is in a domain.
	Domain string `yaml:"domain"`
	// Servers are URLs, ldap:// or ldaps://, tried in this order. Without a host ("ldaps://", with port 3269 the global catalogues)
	// DNS names the servers of the domain that the first of BaseDNs is in; no URL at all means that for Active Directory.
	Servers []string `yaml:"servers"`
	// DNSServer is asked for names, the system's resolver when empty.
	DNSServer string `yaml:"dns_server"`
	TLS       TLS    `yaml:"tls"`
	// AllowPlaintext lets a password travel unencrypted to a server that is not on loopback.
	AllowPlaintext bool `yaml:"allow_plaintext"`
	// BindDN signs in with BindPassword or the content of BindPasswordFile; Active Directory also takes user@domain and DOMAIN\user.
	// Without it Kerberos signs in, without that the client certificate (SASL EXTERNAL), without one nobody does.
	BindDN           string   `yaml:"bind_dn"`
	BindPassword     string   `yaml:"bind_password"`
	BindPasswordFile string   `yaml:"bind_password_file"`
	Kerberos         Kerberos `yaml:"kerberos"`
	// BaseDNs are read with all that is below them. One below another adds nothing.
	BaseDNs []string `yaml:"base_dns"`
	// GroupBaseDNs hold the groups that are read beside the people: those of the membership rules and of select.groups.
	GroupBaseDNs []string `yaml:"-"`
	// SelectGroups are the groups whose people are wanted: they are part of the scope, and found out by whoever takes the records. One that
	// is not there fails a whole pass.
	SelectGroups []string `yaml:"-"`
	// Filter is an RFC 4515 filter, or lines attribute=value of which one must match (L5).
	Filter string `yaml:"filter"`
	// Key is the attribute with the stable id.
	Key string `yaml:"key"`
	// PageSize is how many entries a page has, 0 for the preset's.
	PageSize int `yaml:"page_size"`
	// Attributes are recorded beside those that the mapping uses; "*" stands for all but passwords.
	Attributes []string `yaml:"attributes"`
	// Changes is how what changed is found: by syncrepl (RFC 4533), dirsync (Active Directory), usn (uSNChanged of one
	// domain controller), poll (times of change, and everybody's key) or not at all (full: everything is read in every run). auto (also
	// "") takes the best way that server, account and key allow.
	Changes string `yaml:"changes"`
	// Live stays connected and reads what changed as soon as the server says that something did; ReconcileEvery is how often
	// everything is read nevertheless.
	Live           bool          `yaml:"live"`
	ReconcileEvery time.Duration `yaml:"reconcile_every"`
	// PollEvery is the time between two looks of a live source whose server does not tell by itself, 5 s when zero.
	PollEvery time.Duration `yaml:"poll_every"`
	// IdleTimeout is the longest silence of the server, 60 s when zero.
	IdleTimeout time.Duration `yaml:"idle_timeout"`
}

// TLS says how a connection is protected.
type TLS struct {
	// CAFile holds the certificates that the server's must be signed by, the system's when empty.
	CAFile string `yaml:"ca_file"`
	// StartTLS protects ldap:// connections (RFC 4511, 4.14).
	StartTLS bool `yaml:"start_tls"`
	// CertFile and KeyFile are the client's certificate.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// ServerName is the name in the server's certificate, when it is not the one in its URL.
	ServerName string `yaml:"server_name"`
}

// Kind is "ldap".
func (c *Config) Kind() string { return "ldap" }

// Scope names bases, filter and key.
func (c *Config) Scope() string {
	filter, err := c.filter()
	if err != nil {
		filter = c.Filter
	}
	bases := slices.Clone(c.BaseDNs)
	for i, base := range bases {
		bases[i] = normalDN(base)
	}
	slices.Sort(bases)
	return fmt.Sprintf("ldap bases %q filter %s key %s", bases, filter, strings.ToLower(c.key())) + c.groupScope()
}

// Validate returns every mistake.
func (c *Config) Validate() error {
	mistakes := []error{c.validateType(), c.validateFilter(), c.validateChanges(), c.validateLocation(), c.Kerberos.validate(c)}
	if len(c.servers()) == 0 {
		mistakes = append(mistakes, connectors.Hint(errors.New("servers: none is given"), "servers: [ldaps://ldap.example.com]"))
	}
	for _, server := range c.Servers {
		mistakes = append(mistakes, c.validateServer(server))
	}
	if len(c.BaseDNs) == 0 {
		mistakes = append(mistakes, connectors.Hint(errors.New("base_dns: none is given"), `base_dns: ["ou=people,dc=example,dc=com"]; rollcall init ldap --server URL finds the naming context`))
	}
	for _, base := range slices.Concat(c.BaseDNs, c.GroupBaseDNs) {
		if _, err := ldap.ParseDN(base); err != nil {
			mistakes = append(mistakes, connectors.Hint(fmt.Errorf("base_dns: %q is no distinguished name: %w", base, err), "for example ou=people,dc=example,dc=com"))
		}
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		mistakes = append(mistakes, errors.New("tls: cert_file and key_file belong together"))
	}
	if c.BindPasswordFile != "" {
		mistakes = append(mistakes, c.validatePasswordFile())
	}
	if c.PageSize < 0 || c.IdleTimeout < 0 || c.PollEvery < 0 {
		mistakes = append(mistakes, errors.New("page_size, idle_timeout and poll_every cannot be below 0"))
	}
	if c.BindDN == "" && (c.BindPassword != "" || c.BindPasswordFile != "") {
		mistakes = append(mistakes, connectors.Hint(errors.New("bind_password is given without bind_dn"), "bind_dn: the account that reads the directory"))
	}
	if c.BindDN != "" && c.BindPassword == "" && c.BindPasswordFile == "" {
		mistakes = append(mistakes, connectors.Hint(errors.New("bind_dn is given without a password: most servers would let it in as nobody"), "bind_password_file: a file that only rollcall can read"))
	}
	return errors.Join(mistakes...)
}

// Open returns a connector for the source.
func (c *Config) Open(env connectors.Env) (connectors.Connector, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	filter, err := c.filter()
	if err != nil {
		return nil, err
	}
	return newSource(c, filter, env), nil
}

func (c *Config) preset() Preset {
	p, ok := presets[c.Type]
	if !ok {
		return presets["generic"]
	}
	return p
}

func (c *Config) key() string {
	if c.Key != "" {
		return c.Key
	}
	return c.preset().Key
}

func (c *Config) pageSize() int {
	if c.PageSize > 0 {
		return c.PageSize
	}
	return c.preset().PageSize
}

func (c *Config) idleTimeout() time.Duration {
	if c.IdleTimeout > 0 {
		return c.IdleTimeout
	}
	return time.Minute
}

func (c *Config) pollEvery() time.Duration {
	if c.PollEvery > 0 {
		return c.PollEvery
	}
	return 5 * time.Second
}

// filter returns the filter in one piece.
func (c *Config) filter() (string, error) {
	text := strings.TrimSpace(c.Filter)
	if text == "" {
		text = c.preset().Filter
	}
	if text == "" {
		return "", connectors.Hint(errors.New("filter: none is given, and type generic has none of its own"), "filter: (objectClass=person)")
	}
	if !strings.HasPrefix(text, "(") {
		lines, err := filterOfLines(text)
		if err != nil {
			return "", err
		}
		text = lines
	}
	if _, err := ldap.CompileFilter(text); err != nil {
		return "", connectors.Hint(fmt.Errorf("filter: %s: %w", text, err), "an RFC 4515 filter such as (&(objectClass=person)(mail=*)), or lines attribute=value")
	}
	return text, nil
}

// attributeName is the name of an attribute, or its number (RFC 4512, 1.4).
var attributeName = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9-]*|[0-9]+(\.[0-9]+)+)$`)

// filterOfLines makes a filter of lines attribute=value of which one must match; * stands for any text (L5).
func filterOfLines(text string) (string, error) {
	var all strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, value, _ := strings.Cut(line, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !attributeName.MatchString(name) || value == "" {
			return "", connectors.Hint(fmt.Errorf("filter: line %q is not attribute=value", line), "department=IT*, or an RFC 4515 filter in parentheses")
		}
		parts := strings.Split(value, "*")
		for i, part := range parts {
			parts[i] = ldap.EscapeFilter(part)
		}
		all.WriteString("(" + name + "=" + strings.Join(parts, "*") + ")")
	}
	return "(|" + all.String() + ")", nil
}

func (c *Config) validateType() error {
	if _, ok := presets[c.Type]; !ok {
		return connectors.Hint(fmt.Errorf("type: %q is not known", c.Type), "one of active-directory, openldap, 389ds, edirectory, domino, google, generic")
	}
	if c.key() == "" {
		return connectors.Hint(errors.New("key: type generic needs the attribute with the entry's stable id"), "key: entryUUID")
	}
	return nil
}

func (c *Config) validateChanges() error {
	switch {
	case c.Live && c.Changes == "full":
		return connectors.Hint(errors.New("live: changes: full cannot be followed"), "changes: auto, or live: false and a schedule")
	case c.changes() == "auto", wayOf(c.changes()) != nil:
		return nil
	}
	return connectors.Hint(fmt.Errorf("changes: %q is not offered by this version", c.Changes), "changes: one of "+wayNames())
}

func (c *Config) changes() string {
	if c.Changes == "" {
		return "auto"
	}
	return c.Changes
}

func (c *Config) validateFilter() error {
	_, err := c.filter()
	return err
}

func (c *Config) validateServer(server string) error {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "ldap" && u.Scheme != "ldaps" || u.Opaque != "" {
		return connectors.Hint(fmt.Errorf("servers: %q is not the address of an LDAP server", server), "ldaps://ldap.example.com, or ldap://ldap.example.com:389")
	}
	if u.Scheme != "ldap" || c.TLS.StartTLS || c.AllowPlaintext || isLoopback(u.Hostname()) {
		return nil
	}
	const encrypt = "ldaps://…, or tls: {start_tls: true}; allow_plaintext: true if it really must be so"
	switch {
	case c.BindDN != "":
		return connectors.Hint(fmt.Errorf("servers: the password of %s would travel unencrypted to %s", c.BindDN, server), encrypt)
	case c.Kerberos.KeytabFile != "":
		return connectors.Hint(fmt.Errorf("servers: what %s reads would travel unencrypted and unsigned from %s", c.Kerberos.Principal, server), encrypt)
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// password returns the bind password. A file that others can read is refused.
func (c *Config) password() (string, error) {
	if c.BindPasswordFile == "" {
		return c.BindPassword, nil
	}
	if err := c.validatePasswordFile(); err != nil {
		return "", fmt.Errorf("%w: %w", connectors.ErrSecret, err)
	}
	data, err := os.ReadFile(c.BindPasswordFile)
	password := strings.TrimRight(string(data), "\r\n")
	switch {
	case err != nil:
		err = fmt.Errorf("%w: bind_password_file: %w", connectors.ErrSecret, err)
	case password == "":
		err = fmt.Errorf("%w: bind_password_file %s is empty: most servers would let %s in as nobody", connectors.ErrSecret, c.BindPasswordFile, c.BindDN)
	default:
		return password, nil
	}
	return "", connectors.Hint(err, "write the password of "+c.BindDN+" into that file")
}

func (c *Config) validatePasswordFile() error {
	return refuseReadable("bind_password_file", c.BindPasswordFile)
}

// refuseReadable refuses a file that others can read. One that is missing is missing when it is needed.
func refuseReadable(key, path string) error {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o004 == 0 || runtime.GOOS == "windows" {
		return nil
	}
	return connectors.Hint(fmt.Errorf("everybody can read %s %s", key, path), "chmod 600 "+path)
}

// bases returns the bases that are not below another.
func (c *Config) bases() []string {
	var kept []string
	for i, base := range c.BaseDNs {
		if !slices.ContainsFunc(c.BaseDNs[:i], func(other string) bool { return normalDN(other) == normalDN(base) }) &&
			!slices.ContainsFunc(c.BaseDNs, func(other string) bool { return isBelow(base, other) }) {
			kept = append(kept, base)
		}
	}
	return kept
}

func isBelow(dn, ancestor string) bool {
	a, errA := ldap.ParseDN(ancestor)
	d, errD := ldap.ParseDN(dn)
	return errA == nil && errD == nil && a.AncestorOfFold(d)
}

func normalDN(dn string) string {
	parsed, err := ldap.ParseDN(dn)
	if err != nil {
		return strings.ToLower(dn)
	}
	return strings.ToLower(parsed.String())
}
