package main

import (
	"encoding/pem"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"rollcall/connectors/entra/graphtest"
	"rollcall/connectors/ldap/ldaptest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"rollcall": main})
}

var update = flag.Bool("update", false, "write what the program prints into the scripts")

// The scripts in testdata run the program itself. Each begins with what it shows.
func TestScripts(t *testing.T) {
	testscript.Run(t, scripts("testdata", nil))
}

// The scripts in testdata/directory do so on a real OpenLDAP server. One of two stops answering when a script says
// so.
func TestDirectoryScripts(t *testing.T) {
	server, other := directory(t), directory(t)
	p := scripts("testdata/directory", func(e *testscript.Env) error {
		e.Setenv("LDAP_URL", server.URL)
		e.Setenv("LDAPS_URL", server.LDAPSURL)
		e.Setenv("OTHER_URL", other.URL)
		e.Setenv("CA_FILE", server.CAFile)
		e.Setenv("SUFFIX", server.Suffix)
		e.Setenv("BIND_DN", server.SyncDN)
		return os.WriteFile(filepath.Join(e.WorkDir, "password"), []byte(server.SyncPassword+"\n"), 0o600)
	})
	p.Cmds["freeze"] = func(*testscript.TestScript, bool, []string) { other.Freeze() }
	server.Add("ou=staff,"+server.Suffix, map[string][]string{"objectClass": {"organizationalUnit"}})
	p.Cmds["staff"] = func(ts *testscript.TestScript, _ bool, args []string) { changeStaff(ts, server, args) }
	p.Cmds["thaw"] = func(*testscript.TestScript, bool, []string) { other.Thaw() }
	testscript.Run(t, p)
}

// The scripts in testdata/tenant do so on an emulated Microsoft Graph.
func TestTenantScripts(t *testing.T) {
	graph, err := graphtest.Start(graphtest.Options{PageSize: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(graph.Close)
	const client, secret = "11111111-2222-3333-4444-555555555555", "not-a-secret-of-anybody"
	graph.Register(graphtest.App{ClientID: client, Secret: secret, SecretExpires: time.Now().Add(10 * 24 * time.Hour), Roles: []string{"User.Read.All", "Group.Read.All", "Application.Read.All"}})
	ids := map[string]string{}
	for _, name := range []string{"alice", "bob", "carol"} {
		ids[name] = graph.Directory.AddUser(graphtest.Properties{"userPrincipalName": name + "@example.org", "displayName": name + " example",
			"mail": name + "@example.org", "accountEnabled": true, "employeeId": "0A1B"[:3] + name[:1]})
	}
	p := scripts("testdata/tenant", func(e *testscript.Env) error {
		for name, value := range map[string]string{"GRAPH_URL": graph.URL, "TENANT": graph.Tenant(), "CLIENT": client} {
			e.Setenv(name, value)
		}
		ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: graph.Certificate().Raw})
		return errors.Join(os.WriteFile(filepath.Join(e.WorkDir, "ca.pem"), ca, 0o644),
			os.WriteFile(filepath.Join(e.WorkDir, "cloud.secret"), []byte(secret+"\n"), 0o600))
	})
	p.Cmds["graph"] = func(ts *testscript.TestScript, _ bool, args []string) { changeGraph(ts, graph, ids, args) }
	testscript.Run(t, p)
}

// changeGraph changes the tenant: graph set alice department=IT, graph clear alice department, graph delete alice, graph expire.
func changeGraph(ts *testscript.TestScript, graph *graphtest.Server, ids map[string]string, args []string) {
	switch {
	case len(args) == 3 && args[0] == "set":
		name, value, _ := strings.Cut(args[2], "=")
		graph.Directory.Patch(ids[args[1]], graphtest.Properties{name: value})
	case len(args) == 3 && args[0] == "clear":
		graph.Directory.Patch(ids[args[1]], graphtest.Properties{args[2]: nil})
	case len(args) == 2 && args[0] == "delete":
		graph.Directory.Delete(ids[args[1]])
		graph.Directory.Purge(ids[args[1]])
	case len(args) == 1 && args[0] == "expire":
		graph.Resync(false)
	default:
		ts.Fatalf("usage: graph set|clear|delete|expire …")
	}
}

// changeStaff changes entries under ou=staff: staff add alice mail=…, staff set alice mail=…, staff rename alice ally, staff
// delete alice.
func changeStaff(ts *testscript.TestScript, server *ldaptest.Server, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: staff add|set|rename|delete UID …")
	}
	dn := func(uid string) string { return "uid=" + uid + ",ou=staff," + server.Suffix }
	switch args[0] {
	case "add":
		attributes := map[string][]string{"objectClass": {"inetOrgPerson"}, "cn": {args[1]}, "sn": {"Example"}}
		for _, arg := range args[2:] {
			name, value, _ := strings.Cut(arg, "=")
			attributes[name] = []string{value}
		}
		server.Add(dn(args[1]), attributes)
	case "set":
		name, value, _ := strings.Cut(args[2], "=")
		server.Replace(dn(args[1]), name, value)
	case "rename":
		server.Rename(dn(args[1]), "uid="+args[2], "")
	case "delete":
		server.Delete(dn(args[1]))
	}
}

// directory is a server with two people.
func directory(t *testing.T) *ldaptest.Server {
	s := ldaptest.StartSlapd(t, ldaptest.SlapdOptions{})
	for _, name := range []string{"alice", "bob"} {
		s.Add("uid="+name+",ou=people,"+s.Suffix, map[string][]string{"objectClass": {"inetOrgPerson"}, "cn": {name + " example"}, "sn": {"Example"},
			"mail": {name + "@example.com"}, "telephoneNumber": {"+420 1"}, "userPassword": {"hunter2"}})
	}
	return s
}

func scripts(dir string, setup func(*testscript.Env) error) testscript.Params {
	return testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		UpdateScripts:       *update,
		Setup: func(e *testscript.Env) error {
			e.Setenv("TZ", "UTC")
			if setup == nil {
				return nil
			}
			return setup(e)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": exits, "waitfor": waitFor, "console": askConsole},
	}
}

// exits runs a command and wants its exit code: exits 3 rollcall sync.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if err != nil || neg {
		ts.Fatalf("usage: exits CODE command…")
	}
	got := 0
	var failed *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &failed) {
		got = failed.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// waitFor waits until a file is there: waitfor rollcall-data/server.json.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitfor FILE")
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if info, err := os.Stat(ts.MkAbs(args[0])); err == nil && info.Size() > 0 {
			return
		}
	}
	ts.Fatalf("%s did not come", args[0])
}

// askConsole sends a request with the token to the console whose server logs into the file "log", and prints the answer:
// console GET /api/v1/status, or console POST /api/v1/sources/people/sync {"dry_run":true}. "!" wants an answer that is an error.
func askConsole(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: console METHOD PATH [BODY]")
	}
	url := regexp.MustCompile(`"url":"([^"]+)/"`).FindStringSubmatch(ts.ReadFile("log"))
	if url == nil {
		ts.Fatalf("no console in the log")
	}
	r, err := http.NewRequest(args[0], url[1]+args[1], strings.NewReader(strings.Join(args[2:], " ")))
	ts.Check(err)
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(ts.ReadFile("rollcall-data/console.token")))
	answer, err := http.DefaultClient.Do(r)
	ts.Check(err)
	defer answer.Body.Close()
	_, err = io.Copy(ts.Stdout(), answer.Body)
	ts.Check(err)
	if failed := answer.StatusCode >= 400; failed != neg {
		ts.Fatalf("%s %s: %s", args[0], args[1], answer.Status)
	}
}
