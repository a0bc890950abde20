package ldaptest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"rollcall/connectors/connectorstest"
)

// SlapdOptions say how a slapd is set up.
type SlapdOptions struct {
	// SizeLimit bounds the searches of everybody but the two accounts, 500 when zero.
	SizeLimit int
	// SyncSizeLimit bounds the searches of the sync account too, 0 for none.
	SyncSizeLimit int
	// SessionLog is how many deletions the server remembers for those who synchronize (RFC 4533), 100,000 when zero, none below.
	SessionLog int
	// AccessLog remembers deletions in an accesslog (syncprov-sessionlog-source), which outlives a restart.
	AccessLog bool
	// NoSync leaves content synchronization out.
	NoSync bool
	// Provider is a server whose content this one begins with and then follows (refreshAndPersist), nil for none.
	Provider *Server
	// Load writes the first content as LDIF, the suffix and ou=people included; without it these two are empty.
	Load func(w io.Writer, suffix string) error
}

// Server is a running directory server.
type Server struct {
	// URL and LDAPSURL are its addresses, CAFile the certificate that signed its own.
	URL, LDAPSURL, CAFile  string
	Suffix                 string
	AdminDN, AdminPassword string
	// SyncDN reads everything without limits, password hashes included.
	SyncDN, SyncPassword string
	// ClientCert and ClientKey are a certificate that the server takes for cn=sync (SASL EXTERNAL).
	ClientCert, ClientKey string

	t       testing.TB
	dir     string
	program func() *exec.Cmd // a new process of the server
	group   bool             // it has child processes, in a process group of its own
	command *exec.Cmd
	died    chan struct{}
}

const suffix = "dc=example,dc=com"

// StartSlapd starts an OpenLDAP server that ends with the test.
func StartSlapd(t testing.TB, o SlapdOptions) *Server {
	t.Helper()
	need(t, "slapd", "slapadd", "ldapsearch")
	dir := t.TempDir()
	s := &Server{Suffix: suffix, AdminDN: "cn=admin," + suffix, AdminPassword: "secret", SyncDN: "cn=sync," + suffix, SyncPassword: "sync-secret",
		CAFile: filepath.Join(dir, "ca.pem"), ClientCert: filepath.Join(dir, "client.pem"), ClientKey: filepath.Join(dir, "client.key"), t: t, dir: dir,
		URL: "ldap://" + freeAddress(t), LDAPSURL: "ldaps://" + freeAddress(t)}
	makeCertificates(t, dir, net.IPv4(127, 0, 0, 1))
	s.write("rfc2307bis.schema", rfc2307bis)
	s.write("slapd.conf", s.configuration(o))
	for _, folder := range []string{"db", "log"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s.program = func() *exec.Cmd {
		return exec.Command(path("slapd"), "-h", s.URL+" "+s.LDAPSURL, "-f", filepath.Join(dir, "slapd.conf"), "-d", "0")
	}
	s.load(o)
	s.start()
	t.Cleanup(s.Stop)
	return s
}

// Restart starts a stopped or killed server on the same data and addresses.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	s.start()
}

// Stop stops the server, if it runs, and waits for it.
func (s *Server) Stop() { s.signal(syscall.SIGINT) }

// Kill kills the server in the middle of whatever it does.
func (s *Server) Kill() { s.signal(syscall.SIGKILL) }

// Freeze stops the server's process without ending it, Thaw lets it go on.
func (s *Server) Freeze() { s.send(syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (s *Server) Thaw() { s.send(syscall.SIGCONT) }

// Backup copies the stopped server's files, and starts it again. What it returns puts them back in the same way.
func (s *Server) Backup() (restore func()) {
	s.t.Helper()
	saved := filepath.Join(openFolder(s.t), "saved")
	copyTo := func(from, to string) {
		s.t.Helper()
		if out, err := exec.Command("cp", "-a", from+"/.", to).CombinedOutput(); err != nil {
			s.t.Fatalf("copy %s: %v\n%s", from, err, out)
		}
	}
	s.Stop()
	copyTo(s.dir, saved)
	s.start()
	return func() {
		s.t.Helper()
		s.Stop()
		if err := emptyFolder(s.dir); err != nil {
			s.t.Fatal(err)
		}
		copyTo(saved, s.dir)
		s.start()
	}
}

func emptyFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// Add adds an entry.
func (s *Server) Add(dn string, attributes map[string][]string) {
	s.t.Helper()
	request := ldap.NewAddRequest(dn, nil)
	for name, values := range attributes {
		request.Attribute(name, values)
	}
	s.do(func(c *ldap.Conn) error { return c.Add(request) })
}

// Replace sets an attribute of an entry; no values remove it.
func (s *Server) Replace(dn, attribute string, values ...string) {
	s.t.Helper()
	request := ldap.NewModifyRequest(dn, nil)
	request.Replace(attribute, values)
	s.do(func(c *ldap.Conn) error { return c.Modify(request) })
}

// Rename gives an entry another RDN and, with newSuperior, another place.
func (s *Server) Rename(dn, rdn, newSuperior string) {
	s.t.Helper()
	s.do(func(c *ldap.Conn) error { return c.ModifyDN(ldap.NewModifyDNRequest(dn, rdn, true, newSuperior)) })
}

// Delete deletes an entry.
func (s *Server) Delete(dn string) {
	s.t.Helper()
	s.do(func(c *ldap.Conn) error { return c.Del(ldap.NewDelRequest(dn, nil)) })
}

// Search runs ldapsearch as the sync account and returns its LDIF.
func (s *Server) Search(base, filter string, attributes ...string) string {
	s.t.Helper()
	args := append([]string{"-x", "-LLL", "-o", "ldif-wrap=no", "-H", s.URL, "-D", s.SyncDN, "-w", s.SyncPassword, "-b", base, filter}, attributes...)
	var errs bytes.Buffer
	c := exec.Command("ldapsearch", args...)
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		s.t.Fatalf("ldapsearch: %v\n%s", err, errs.String())
	}
	return string(out)
}

// do makes one operation as the administrator.
func (s *Server) do(operation func(*ldap.Conn) error) {
	s.t.Helper()
	c, err := ldap.DialURL(s.URL)
	if err == nil {
		defer c.Close()
		err = c.Bind(s.AdminDN, s.AdminPassword)
	}
	if err == nil {
		err = operation(c)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// Conn returns a connection of the administrator's, for many operations.
func (s *Server) Conn() *ldap.Conn {
	s.t.Helper()
	c, err := ldap.DialURL(s.URL)
	if err == nil {
		err = c.Bind(s.AdminDN, s.AdminPassword)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (s *Server) start() {
	s.t.Helper()
	s.command = s.program()
	if s.group {
		s.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	}
	var out bytes.Buffer
	s.command.Stdout, s.command.Stderr = &out, &out
	if err := s.command.Start(); err != nil {
		s.t.Fatal(err)
	}
	died := make(chan struct{})
	s.died = died
	go func() { _ = s.command.Wait(); close(died) }()
	for begun := time.Now(); time.Since(begun) < time.Minute; {
		if s.answers() {
			return
		}
		select {
		case <-died:
			s.t.Fatalf("%s died: %s", s.command.Path, out.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
	s.t.Fatalf("%s did not answer within a minute", s.command.Path)
}

// answers reports whether the administrator can sign in, or could over TLS.
func (s *Server) answers() bool {
	c, err := ldap.DialURL(s.URL)
	if err != nil {
		return false
	}
	defer c.Close()
	c.SetTimeout(time.Second)
	err = c.Bind(s.AdminDN, s.AdminPassword)
	return err == nil || ldap.IsErrorWithCode(err, ldap.LDAPResultStrongAuthRequired)
}

func (s *Server) signal(signal syscall.Signal) {
	if s.command == nil {
		return
	}
	s.send(syscall.SIGCONT)
	s.send(signal)
	select {
	case <-s.died:
	case <-time.After(20 * time.Second):
		s.send(syscall.SIGKILL)
		<-s.died
	}
	s.command = nil
}

// send sends a signal to the server's process, or to its group.
func (s *Server) send(signal syscall.Signal) {
	pid := s.command.Process.Pid
	if s.group {
		pid = -pid
	}
	_ = syscall.Kill(pid, signal)
}

// load fills the stopped server's database.
func (s *Server) load(o SlapdOptions) {
	s.t.Helper()
	if o.Provider != nil {
		s.copyOf(o.Provider)
		return
	}
	if o.Load == nil {
		s.slapadd(strings.NewReader(fmt.Sprintf(rootLDIF, s.Suffix)))
	} else {
		in, out := io.Pipe()
		go func() { _ = out.CloseWithError(o.Load(out, s.Suffix)) }()
		s.slapadd(in)
	}
	s.slapadd(strings.NewReader(fmt.Sprintf(baseLDIF, s.Suffix, s.SyncPassword)))
}

// copyOf fills the stopped server's database with another's.
func (s *Server) copyOf(other *Server) {
	s.t.Helper()
	in, out := io.Pipe()
	c := exec.Command(path("slapcat"), "-f", filepath.Join(other.dir, "slapd.conf"), "-b", other.Suffix)
	c.Stdout = out
	go func() { _ = out.CloseWithError(c.Run()) }()
	s.slapadd(in)
}

// ContextCSN is the number of the last change that the server holds, of each server id.
func (s *Server) ContextCSN() string {
	s.t.Helper()
	c := s.Conn()
	defer c.Close()
	found, err := c.Search(ldap.NewSearchRequest(s.Suffix, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{"contextCSN"}, nil))
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.Join(found.Entries[0].GetAttributeValues("contextCSN"), " ")
}

func (s *Server) slapadd(ldif io.Reader) {
	s.t.Helper()
	c := exec.Command(path("slapadd"), "-q", "-w", "-S", "1", "-f", filepath.Join(s.dir, "slapd.conf"), "-b", s.Suffix)
	c.Stdin = ldif
	if out, err := c.CombinedOutput(); err != nil {
		s.t.Fatalf("slapadd: %v\n%s", err, out)
	}
}

func (s *Server) write(name, content string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// configuration is slapd.conf. Everything is readable to the sync account, password hashes included: that none of them
// travels is for the connector to see to.
func (s *Server) configuration(o SlapdOptions) string {
	limit, sync := o.SizeLimit, "size=unlimited time=unlimited size.pr=unlimited size.prtotal=unlimited"
	if limit == 0 {
		limit = 500
	}
	if o.SyncSizeLimit > 0 {
		sync = fmt.Sprintf("size=%d size.prtotal=%d", o.SyncSizeLimit, o.SyncSizeLimit)
	}
	provider, history := "overlay syncprov\nsyncprov-checkpoint 100 10\n", ""
	switch {
	case o.AccessLog:
		history = strings.ReplaceAll(accessLogConf, "$D", s.dir)
		provider += "syncprov-sessionlog-source cn=log\noverlay accesslog\nlogdb cn=log\nlogops writes\nlogsuccess TRUE\n"
	case o.NoSync, o.Provider != nil:
		provider = ""
	case o.SessionLog > 0:
		provider += fmt.Sprintf("syncprov-sessionlog %d\n", o.SessionLog)
	case o.SessionLog == 0:
		provider += "syncprov-sessionlog 100000\n"
	}
	follow, id := "", "1"
	if p := o.Provider; p != nil {
		id, follow = "2", fmt.Sprintf("syncrepl rid=1 provider=%s type=refreshAndPersist retry=\"1 +\" searchbase=\"%s\" bindmethod=simple binddn=\"%s\" credentials=%s\n",
			p.URL, p.Suffix, p.SyncDN, p.SyncPassword)
	}
	return strings.NewReplacer("${HISTORY}", history, "${FOLLOW}", follow, "$ID", id, "$PROVIDER", provider, "$D", s.dir, "$SUFFIX", s.Suffix, "$ADMINPW", s.AdminPassword, "$LIMIT", fmt.Sprint(limit), "$SYNC", sync).Replace(slapdConf)
}

const slapdConf = `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include $D/rfc2307bis.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload syncprov
moduleload memberof
moduleload accesslog
pidfile $D/slapd.pid
argsfile $D/slapd.args
loglevel none
TLSCACertificateFile $D/ca.pem
TLSCertificateFile $D/server.pem
TLSCertificateKeyFile $D/server.key
TLSVerifyClient try
authz-regexp "^cn=sync$" "cn=sync,$SUFFIX"
sizelimit $LIMIT
serverID $ID
${HISTORY}database mdb
suffix "$SUFFIX"
rootdn "cn=admin,$SUFFIX"
rootpw $ADMINPW
directory $D/db
maxsize 4294967296
envflags nosync
index objectClass eq
index entryUUID,entryCSN eq
index uid,mail,cn,member eq
limits dn.exact="cn=sync,$SUFFIX" $SYNC
access to attrs=userPassword by dn.exact="cn=sync,$SUFFIX" read by self write by anonymous auth by * none
access to * by * read
${FOLLOW}overlay memberof
memberof-group-oc groupOfNames
memberof-refint TRUE
$PROVIDER`

// accessLogConf is the database of an accesslog, which a database that writes into it must come behind.
const accessLogConf = `database mdb
suffix cn=log
rootdn cn=log
directory $D/log
envflags nosync
index entryCSN,objectClass,reqEnd,reqResult,reqStart,reqDN eq
overlay syncprov
syncprov-nopresent TRUE
syncprov-reloadhint TRUE

`

const rootLDIF = `dn: %[1]s
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: ou=people,%[1]s
objectClass: organizationalUnit
ou: people
`

const baseLDIF = `dn: cn=sync,%[1]s
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: sync
userPassword: %[2]s

dn: ou=leavers,%[1]s
objectClass: organizationalUnit
ou: leavers

dn: ou=groups,%[1]s
objectClass: organizationalUnit
ou: groups
`

const rfc2307bis = `attributetype ( 1.3.6.1.1.1.1.2 NAME 'gecos' EQUALITY caseIgnoreIA5Match SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 SINGLE-VALUE )
attributetype ( 1.3.6.1.1.1.1.3 NAME 'homeDirectory' EQUALITY caseExactIA5Match SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 SINGLE-VALUE )
attributetype ( 1.3.6.1.1.1.1.4 NAME 'loginShell' EQUALITY caseExactIA5Match SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 SINGLE-VALUE )
objectclass ( 1.3.6.1.1.1.2.0 NAME 'posixAccount' SUP top AUXILIARY MUST ( cn $ uid $ uidNumber $ gidNumber $ homeDirectory ) MAY ( userPassword $ loginShell $ gecos $ description ) )
attributetype ( 1.3.6.1.1.1.1.12 NAME 'memberUid' EQUALITY caseExactIA5Match SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 )
objectclass ( 1.3.6.1.1.1.2.2 NAME 'posixGroup' SUP top AUXILIARY MUST gidNumber MAY ( userPassword $ memberUid $ description ) )
`

// need skips the test when a program is missing, or fails it under CI.
func need(t testing.TB, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if path(name) != "" {
			continue
		}
		connectorstest.Missing(t, name+" is not installed: go run ./.ci/test -install")
	}
}

// path finds a program, also where an ordinary account does not look. It is "" for one that is missing.
func path(name string) string {
	if p, err := exec.LookPath(name); err == nil {
		return p
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if p := filepath.Join(dir, name); exists(p) {
			return p
		}
	}
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, os.ErrNotExist)
}

// freeAddress is a port of loopback that nobody uses at this moment.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
