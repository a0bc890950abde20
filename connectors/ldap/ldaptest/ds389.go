package ldaptest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// StartDS389 starts a 389 Directory Server with an empty suffix and ou=people, which ends with the test. There is one
// account, the administrator. It takes 10 to 20 seconds.
func StartDS389(t testing.TB) *Server {
	t.Helper()
	need(t, "ns-slapd", "dscreate", "ldapsearch")
	s := &Server{Suffix: suffix, AdminDN: "cn=Directory Manager", AdminPassword: "secret-of-389", t: t, dir: openFolder(t),
		URL: "ldap://" + freeAddress(t), LDAPSURL: "ldaps://" + freeAddress(t)}
	s.SyncDN, s.SyncPassword = s.AdminDN, s.AdminPassword
	instance := filepath.Join(s.dir, "root", "etc", "dirsrv", "slapd-test")
	s.CAFile = filepath.Join(instance, "ca.crt")
	account := s.ordinaryAccount("dirsrv")
	s.program = func() *exec.Cmd {
		return account(path("ns-slapd"), "-D", instance, "-d", "0", "-i", filepath.Join(s.dir, "pid"))
	}
	s.create(account)
	s.synchronize(filepath.Join(instance, "dse.ldif"))
	t.Cleanup(s.Stop)
	s.start()
	s.Add("ou=people,"+s.Suffix, map[string][]string{"objectClass": {"organizationalUnit"}, "ou": {"people"}})
	return s
}

// synchronize switches content synchronization (RFC 4533) on in the stopped server's configuration, and the changelog that it needs.
func (s *Server) synchronize(configuration string) {
	s.t.Helper()
	data, err := os.ReadFile(configuration)
	if err != nil {
		s.t.Fatal(err)
	}
	entries := strings.Split(string(data), "\n\n")
	for i, entry := range entries {
		for _, plugin := range []string{"Retro Changelog Plugin", "Content Synchronization"} {
			if strings.HasPrefix(entry, "dn: cn="+plugin+",cn=plugins,cn=config\n") {
				entries[i] = strings.Replace(entry, "nsslapd-pluginEnabled: off", "nsslapd-pluginEnabled: on", 1)
			}
		}
		if strings.HasPrefix(entry, "dn: cn=Retro Changelog Plugin,") {
			entries[i] += "\nnsslapd-attribute: nsuniqueid:targetUniqueId"
		}
	}
	if err := os.WriteFile(configuration, []byte(strings.Join(entries, "\n\n")), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// openFolder is a temporary folder that another account can reach, unlike t.TempDir.
func openFolder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rollcall-ldaptest-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// ordinaryAccount returns how a command is made that does not run as root, which the server refuses: as that account,
// or as the one of the test when it is no root.
func (s *Server) ordinaryAccount(name string) func(program string, args ...string) *exec.Cmd {
	s.t.Helper()
	var credential *syscall.Credential
	if os.Getuid() == 0 {
		account, err := user.Lookup(name)
		if err != nil {
			s.t.Fatal(err)
		}
		uid, _ := strconv.Atoi(account.Uid)
		gid, _ := strconv.Atoi(account.Gid)
		credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(s.dir, uid, gid); err != nil {
			s.t.Fatal(err)
		}
	}
	return func(program string, args ...string) *exec.Cmd {
		c := exec.Command(program, args...)
		c.Dir, c.SysProcAttr = s.dir, &syscall.SysProcAttr{Credential: credential}
		c.Env = append(os.Environ(), "HOME="+s.dir, "PATH="+filepath.Join(s.dir, "bin")+":/usr/sbin:/usr/bin:/bin")
		return c
	}
}

// create makes the instance below the folder, not started.
func (s *Server) create(account func(string, ...string) *exec.Cmd) {
	s.t.Helper()
	run := func(program string, args ...string) {
		s.t.Helper()
		if out, err := account(program, args...).CombinedOutput(); err != nil {
			s.t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
		}
	}
	bin := filepath.Join(s.dir, "bin")
	who, err := account("id", "-un").Output()
	if err != nil {
		s.t.Fatal(err)
	}
	name := strings.TrimSpace(string(who))
	run("mkdir", bin)
	run(path("dscreate"), "ds-root", filepath.Join(s.dir, "root"), bin)
	answers := filepath.Join(s.dir, "answers.inf")
	if err := os.WriteFile(answers, []byte(fmt.Sprintf(ds389Answers, name, port(s.URL), port(s.LDAPSURL), s.AdminPassword, s.Suffix)), 0o644); err != nil {
		s.t.Fatal(err)
	}
	run(filepath.Join(bin, "dscreate"), "from-file", answers)
}

const ds389Answers = `[general]
config_version = 2
full_machine_name = localhost
strict_host_checking = False
selinux = False
systemd = False
start = False
[slapd]
instance_name = test
user = %[1]s
group = %[1]s
port = %[2]s
secure_port = %[3]s
root_password = %[4]s
self_sign_cert = True
[backend-userroot]
suffix = %[5]s
create_suffix_entry = True
sample_entries = no
`

func port(url string) string {
	_, p, _ := net.SplitHostPort(url[strings.LastIndex(url, "/")+1:])
	return p
}
