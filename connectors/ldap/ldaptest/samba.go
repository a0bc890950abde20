package ldaptest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/connectors/connectorstest"
)

// SambaOptions say how a domain controller is set up.
type SambaOptions struct {
	// Kerberos starts the KDC too.
	Kerberos bool
	// StrongAuth is Samba's "ldap server require strong auth": no (also when empty), allow_sasl_over_tls or yes.
	StrongAuth string
}

// SambaHost is the domain controller's name, which its certificate holds.
const SambaHost = "dc1.example.test"

// StartSamba starts an Active Directory domain controller, LDAP only, which ends with the test. There is one account, the
// administrator, who signs in by name. Samba knows no other ports than 389 and 636, so every server has a random
// address of loopback, and the test needs root. It takes about 10 seconds.
func StartSamba(t testing.TB) *Server {
	t.Helper()
	return StartSambaWith(t, SambaOptions{})
}

// StartSambaWith starts a domain controller as StartSamba does.
func StartSambaWith(t testing.TB, o SambaOptions) *Server {
	t.Helper()
	need(t, "samba", "samba-tool", "python3", "ldapsearch")
	if os.Getuid() != 0 {
		connectorstest.Missing(t, "Samba listens on port 389 only: run the test as root")
	}
	dir := t.TempDir()
	ip := net.IPv4(127, byte(20+rand.IntN(200)), byte(2+rand.IntN(250)), byte(2+rand.IntN(250)))
	s := &Server{Suffix: "DC=example,DC=test", AdminDN: "administrator@example.test", AdminPassword: "Passw0rd!test", t: t, dir: dir,
		URL: "ldap://" + ip.String(), LDAPSURL: "ldaps://" + ip.String(), CAFile: filepath.Join(dir, "ca.pem")}
	s.SyncDN, s.SyncPassword = s.AdminDN, s.AdminPassword
	makeCertificates(t, dir, ip)
	s.provision(ip)
	if o.Kerberos {
		s.sambaTool("spn", "add", "ldap/"+SambaHost, "DC1$") // Samba's own updater is not run here
	}
	s.program = func() *exec.Cmd { return s.samba(ip, o) }
	s.group = true
	t.Cleanup(s.Stop)
	s.start()
	return s
}

// provision makes the domain. The step that sets access lists on files is left out: LDAP does not need it, and it needs a
// file system that has them.
func (s *Server) provision(ip net.IP) {
	s.t.Helper()
	s.write("provision.py", `import sys
import samba.provision
samba.provision.setsysvolacl = lambda *a, **k: None
from samba.netcmd.main import cmd_sambatool
sys.exit(cmd_sambatool()._run("samba-tool", *sys.argv[1:]) or 0)
`)
	c := exec.Command("/usr/bin/python3", filepath.Join(s.dir, "provision.py"), "domain", "provision", "--targetdir="+filepath.Join(s.dir, "d"),
		"--realm=EXAMPLE.TEST", "--domain=EXAMPLE", "--adminpass="+s.AdminPassword, "--server-role=dc", "--dns-backend=NONE", "--use-rfc2307",
		"--host-name=dc1", "--host-ip="+ip.String(), "--option=interfaces="+ip.String()+"/8", "--option=bind interfaces only=yes", "--option=server services=ldap")
	if out, err := c.CombinedOutput(); err != nil {
		s.t.Fatalf("samba-tool domain provision: %v\n%s", err, out)
	}
}

// DemandSigning restarts a Samba that refuses SASL without signing, also inside TLS.
func (s *Server) DemandSigning() {
	s.t.Helper()
	ip := net.ParseIP(strings.TrimPrefix(s.URL, "ldap://"))
	s.program = func() *exec.Cmd { return s.samba(ip, SambaOptions{Kerberos: true, StrongAuth: "yes"}) }
	s.Restart()
}

// Keytab writes a keytab with the keys of an account of Samba's and returns its path.
func (s *Server) Keytab(principal string) string {
	s.t.Helper()
	file := filepath.Join(s.dir, fmt.Sprintf("keytab%d", rand.Int()))
	s.sambaTool("domain", "exportkeytab", file, "--principal="+principal)
	if err := os.Chmod(file, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return file
}

// Account makes an ordinary account in a Samba and returns the name that it signs in by.
func (s *Server) Account(name, password string) string {
	s.t.Helper()
	s.sambaTool("user", "create", name, password)
	return name + "@example.test"
}

// sambaTool runs samba-tool on the domain's files.
func (s *Server) sambaTool(args ...string) {
	s.t.Helper()
	args = append(args, "-s", filepath.Join(s.dir, "d", "etc", "smb.conf"))
	if args[0] != "domain" {
		args = append(args, "-H", filepath.Join(s.dir, "d", "private", "sam.ldb"))
	}
	if out, err := exec.Command(path("samba-tool"), args...).CombinedOutput(); err != nil {
		s.t.Fatalf("samba-tool %v: %v\n%s", args, err, out)
	}
}

func (s *Server) samba(ip net.IP, o SambaOptions) *exec.Cmd {
	services := "ldap"
	if o.Kerberos {
		services = "ldap, kdc"
	}
	args := []string{"-i", "-M", "single", "-s", filepath.Join(s.dir, "d", "etc", "smb.conf")}
	for name, value := range map[string]string{"pid directory": "run", "ncalrpc dir": "run/ncalrpc", "log file": "log.samba", "lock directory": "lock",
		"tls keyfile": "server.key", "tls certfile": "server.pem", "tls cafile": "ca.pem"} {
		args = append(args, fmt.Sprintf("--option=%s=%s", name, filepath.Join(s.dir, value)))
	}
	for _, option := range []string{"interfaces=" + ip.String() + "/8", "bind interfaces only=yes", "server services=" + services, "tls enabled=yes",
		"ldap server require strong auth=" + cmp.Or(o.StrongAuth, "no")} {
		args = append(args, "--option="+option)
	}
	for _, folder := range []string{"run", "lock"} {
		if err := os.MkdirAll(filepath.Join(s.dir, folder), 0o755); err != nil {
			s.t.Fatal(err)
		}
	}
	return exec.Command(path("samba"), args...)
}
