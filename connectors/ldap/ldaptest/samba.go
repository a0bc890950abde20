package ldaptest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// StartSamba starts an Active Directory domain controller, LDAP only, which ends with the test. There is one account, the
// administrator, who signs in by name. Samba knows no other ports than 389 and 636, so every server has a random
// address of loopback, and the test needs root. It takes about 10 seconds.
func StartSamba(t testing.TB) *Server {
	t.Helper()
	need(t, "samba", "samba-tool", "python3", "ldapsearch")
	if os.Getuid() != 0 {
		missing(t, "Samba listens on port 389 only: run the test as root")
	}
	dir := t.TempDir()
	ip := net.IPv4(127, byte(20+rand.IntN(200)), byte(2+rand.IntN(250)), byte(2+rand.IntN(250)))
	s := &Server{Suffix: "DC=example,DC=test", AdminDN: "administrator@example.test", AdminPassword: "Passw0rd!test", t: t, dir: dir,
		URL: "ldap://" + ip.String(), LDAPSURL: "ldaps://" + ip.String(), CAFile: filepath.Join(dir, "ca.pem")}
	s.SyncDN, s.SyncPassword = s.AdminDN, s.AdminPassword
	makeCertificates(t, dir, ip)
	s.provision(ip)
	s.program = func() *exec.Cmd { return s.samba(ip) }
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

func (s *Server) samba(ip net.IP) *exec.Cmd {
	args := []string{"-i", "-M", "single", "-s", filepath.Join(s.dir, "d", "etc", "smb.conf")}
	for name, value := range map[string]string{"pid directory": "run", "ncalrpc dir": "run/ncalrpc", "log file": "log.samba", "lock directory": "lock",
		"tls keyfile": "server.key", "tls certfile": "server.pem", "tls cafile": "ca.pem"} {
		args = append(args, fmt.Sprintf("--option=%s=%s", name, filepath.Join(s.dir, value)))
	}
	for _, option := range []string{"interfaces=" + ip.String() + "/8", "bind interfaces only=yes", "server services=ldap", "tls enabled=yes", "ldap server require strong auth=no"} {
		args = append(args, "--option="+option)
	}
	for _, folder := range []string{"run", "lock"} {
		if err := os.MkdirAll(filepath.Join(s.dir, folder), 0o755); err != nil {
			s.t.Fatal(err)
		}
	}
	return exec.Command(path("samba"), args...)
}
