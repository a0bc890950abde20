package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
)

// servers are the Debian packages of the directory servers and tools that tests start.
var servers = strings.Fields(`slapd ldap-utils
	389-ds-base python3-lib389
	samba samba-ad-dc samba-ad-provision samba-dsdb-modules samba-vfs-modules winbind python3-samba ldb-tools iproute2 socat
	apache2-utils openssl systemd jq`)

// install installs what is missing, where that is possible. Failing is no error here: the tests say what they
// miss.
func install() {
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		return
	}
	if missing := absent(); len(missing) > 0 {
		fmt.Println("installing", strings.Join(missing, " "))
		defer quietServices()()
		if apt("update") != nil || apt(append([]string{"install"}, missing...)...) != nil {
			for _, p := range absent() { // one that this Debian does not have must not keep the others away
				_ = apt("install", p)
			}
		}
	}
	_ = os.Chmod("/etc/dirsrv", 0o755) // 389-ds runs as a user of its own and reads its schema there
}

// absent are the packages that are not installed.
func absent() []string {
	var missing []string
	for _, p := range servers {
		out, err := exec.Command("dpkg-query", "-W", "-f", "${db:Status-Status}", p).Output()
		if err != nil || string(out) != "installed" {
			missing = append(missing, p)
		}
	}
	return missing
}

func apt(args ...string) error {
	c := exec.Command("apt-get", append([]string{"-qq", "-y", "--no-install-recommends"}, args...)...)
	c.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	out, err := c.CombinedOutput()
	if err != nil {
		fmt.Printf("apt-get %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return err
}

// quietServices keeps the packages from starting their services on this machine: the tests start servers of
// their own. The function that it returns puts things back.
func quietServices() func() {
	const policy = "/usr/sbin/policy-rc.d"
	if _, err := os.Stat(policy); !errors.Is(err, fs.ErrNotExist) {
		return func() {}
	}
	if err := os.WriteFile(policy, []byte("#!/bin/sh\nexit 101\n"), 0o755); err != nil {
		return func() {}
	}
	return func() { _ = os.Remove(policy) }
}
