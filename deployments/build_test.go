package deployments_test

import (
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"rollcall/connectors/connectorstest"
)

// The image's build line makes a program that needs no library, and the image holds it and nobody's root.
func TestDockerfile(t *testing.T) {
	text := read(t, "docker/Dockerfile")
	line := regexp.MustCompile(`(?m)^RUN (CGO_ENABLED=0 go build .*) -o /out/rollcall (\./cmd/rollcall)$`).FindStringSubmatch(text)
	if line == nil {
		t.Fatal("no build line")
	}
	program := filepath.Join(t.TempDir(), "rollcall")
	run(t, "..", "sh", "-c", line[1]+" -o "+program+" "+line[2])
	if runtime.GOOS == "linux" {
		f, err := elf.Open(program)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, p := range f.Progs {
			if p.Type == elf.PT_INTERP {
				t.Error("the program is not static")
			}
		}
	}
	last := text[strings.LastIndex(text, "FROM "):]
	if !strings.HasPrefix(last, "FROM scratch\n") || !strings.Contains(last, "\nUSER 65532:65532\n") || !strings.Contains(last, "ca-certificates.crt") {
		t.Error("the last stage is not from scratch, as a user, with the authorities' certificates")
	}
	command := regexp.MustCompile(`(?m)^CMD (.*)$`).FindStringSubmatch(last)
	if command == nil {
		t.Fatal("no command")
	}
	var args []string
	if err := yaml.Unmarshal([]byte(command[1]), &args); err != nil {
		t.Fatal(err)
	}
	understood(t, program, args)
	for _, service := range compose(t).Services {
		if slices.Contains(service.Command, "serve") {
			understood(t, program, service.Command)
		}
	}
}

// understood fails unless the program gets as far as to miss its configuration.
func understood(t *testing.T, program string, args []string) {
	t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "there is no configuration file /etc/rollcall/rollcall.yaml") {
		t.Errorf("rollcall %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// The program builds for Windows, whose service it is.
func TestWindows(t *testing.T) {
	build := exec.Command("go", "build", "-o", filepath.Join(t.TempDir(), "rollcall.exe"), "./cmd/rollcall")
	build.Dir = ".."
	build.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

type composeFile struct {
	Services map[string]struct {
		Command     []string
		DependsOn   []string `json:"depends_on"`
		Environment map[string]string
		Volumes     []string
		Configs     []struct{ Source, Target string }
		Secrets     []any
	}
	Configs, Secrets map[string]struct{ File string }
	Volumes          map[string]any
}

func compose(t *testing.T) (c composeFile) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, "docker/compose.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// Whatever a service of the compose file names is there, or prepare.sh makes it, and the configuration loads.
func TestCompose(t *testing.T) {
	c := compose(t)
	if len(c.Services) != 8 {
		t.Errorf("%d services", len(c.Services))
	}
	checkConfiguration(t, read(t, "docker/rollcall.yaml"))
	for name, s := range c.Services {
		for _, on := range s.DependsOn {
			if _, there := c.Services[on]; !there {
				t.Errorf("%s depends on %s", name, on)
			}
		}
		for _, one := range s.Configs {
			if _, there := c.Configs[one.Source]; !there {
				t.Errorf("%s: config %s", name, one.Source)
			}
		}
		for _, one := range s.Secrets {
			source, _ := one.(string)
			if long, is := one.(map[string]any); is {
				source = fmt.Sprint(long["source"])
			}
			if _, there := c.Secrets[source]; !there {
				t.Errorf("%s: secret %q", name, source)
			}
		}
		for _, one := range s.Volumes {
			if volume, _, _ := strings.Cut(one, ":"); !hasKey(c.Volumes, volume) {
				t.Errorf("%s: volume %s", name, volume)
			}
		}
	}
	for name, one := range c.Configs {
		if _, err := os.Stat(filepath.Join("docker", one.File)); err != nil {
			t.Errorf("config %s: %v", name, err)
		}
	}
	made := prepared(t)
	secrets := filepath.Join(made, "secrets")
	for name, owner := range map[string]string{"ldap.password": "65532 600", "ldap-server.password": "1001 600", "pins.key": "65532 600", "ca.crt": "0 644"} {
		if got := strings.TrimSpace(run(t, secrets, "stat", "-c", "%u %a", name)); got != owner {
			t.Errorf("%s belongs to %s, want %s", name, got, owner)
		}
	}
	if read(t, filepath.Join(secrets, "ldap.password")) != read(t, filepath.Join(secrets, "ldap-server.password")) {
		t.Error("the OpenLDAP server has another password than its client")
	}
	for name, one := range c.Secrets {
		if _, err := os.Stat(filepath.Join(made, one.File)); err != nil {
			t.Errorf("secret %s: %v", name, err)
		}
	}
	hashes := read(t, filepath.Join(made, "secrets", "passwords.conf"))
	for line := range strings.Lines(read(t, "nats/passwords.conf.example")) {
		if user, _, is := strings.Cut(line, ": "); is && !strings.HasPrefix(line, "#") && !regexp.MustCompile(user+`: "\$2[aby]\$11\$.{53}"`).MatchString(hashes) {
			t.Errorf("prepare.sh makes no %s", user)
		}
	}
}

func hasKey(m map[string]any, key string) bool {
	_, there := m[key]
	return there
}

// Whoever is not root is told so before anything is made: files of the wrong owner let no container start.
func TestPrepareWithoutRoot(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	cmd := exec.Command("setpriv", "--reuid=65534", "--clear-groups", "sh")
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(read(t, "docker/prepare.sh"))
	out, err := cmd.CombinedOutput()
	if made, _ := os.ReadDir(dir); err == nil || len(made) > 0 || !strings.Contains(string(out), "Try: sudo sh ") {
		t.Errorf("prepare.sh made %v and says %s (%v)", made, out, err)
	}
}

// A user whom a new version adds gets a password where there are some already, and those stay.
func TestPrepareAgain(t *testing.T) {
	dir := prepared(t)
	passwords := filepath.Join(dir, "secrets", "passwords.conf")
	all := slices.Collect(strings.Lines(read(t, passwords)))
	isConsole := func(line string) bool { return strings.HasPrefix(line, "console_password: ") }
	before := slices.DeleteFunc(slices.Clone(all), isConsole)
	if err := os.WriteFile(passwords, []byte(strings.Join(before, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "sh", filepath.Join(dir, "prepare.sh"))
	after := slices.Collect(strings.Lines(read(t, passwords)))
	if len(after) != len(all) || !slices.Equal(slices.DeleteFunc(after, isConsole), before) {
		t.Errorf("there was\n%s\nand now is\n%s", strings.Join(before, ""), read(t, passwords))
	}
}

// prepared runs a copy of prepare.sh and returns its folder.
func prepared(t *testing.T) string {
	t.Helper()
	needRoot(t)
	for _, tool := range []string{"openssl", "htpasswd"} {
		need(t, tool)
	}
	dir := t.TempDir()
	script := filepath.Join(dir, "prepare.sh")
	if err := os.WriteFile(script, []byte(read(t, "docker/prepare.sh")), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "sh", script)
	return dir
}

// systemd understands every line of the unit, and calls it well protected.
func TestSystemd(t *testing.T) {
	need(t, "systemd-analyze")
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text := read(t, "systemd/rollcall.service")
	if !strings.Contains(text, "ExecStart=/usr/local/bin/rollcall serve ") {
		t.Fatal("the unit starts something else")
	}
	text = strings.Replace(text, "/usr/local/bin/rollcall serve", own+" serve", 1)
	text = strings.ReplaceAll(strings.ReplaceAll(text, "User=rollcall", "User=root"), "Group=rollcall", "Group=root") // who is not there is no mistake of the unit
	unit := filepath.Join(t.TempDir(), "rollcall.service")
	if err := os.WriteFile(unit, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := run(t, ".", "systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit); strings.Contains(out, "rollcall.service") {
		t.Errorf("systemd-analyze verify says\n%s", out)
	}
	run(t, ".", "systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=30", unit)
}

// need skips the test where a program is missing, loudly; under CI it fails.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		connectorstest.Missing(t, err)
	}
}

// needRoot skips the test for whoever may not give files away.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		connectorstest.Missing(t, "only root may give files to other users")
	}
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
