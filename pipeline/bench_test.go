package pipeline_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/rs/zerolog"

	"rollcall/connectors"
	"rollcall/connectors/connectorstest/people"
	"rollcall/connectors/csv"
	"rollcall/connectors/ldap"
	"rollcall/connectors/ldap/ldaptest"
	"rollcall/events"
	"rollcall/events/broker"
	"rollcall/pipeline"
	"rollcall/pipeline/mapping"
	"rollcall/store"
)

// benchPeople is how many people the benchmarks of whole runs have.
const benchPeople = 100_000

// A first run of 100,000 people from a CSV file to store and events, everything in one process.
func BenchmarkFirstSyncCSV(b *testing.B) {
	path := peopleFile(b, benchPeople)
	for b.Loop() {
		node := benchNode(b, b.TempDir(), path)
		begun := time.Now()
		if run := benchSync(b, node); run.Created != benchPeople {
			b.Fatalf("created %d: %s %s", run.Created, run.State, run.Reason)
		}
		b.ReportMetric(benchPeople/time.Since(begun).Seconds(), "users/s")
		stopNode(b, node)
	}
}

// A directory of 100,000 people in a slapd on the same processors: the first run, a second whole one that finds nothing, one that
// finds 1,000 changed, and incremental ones, beside the time in which a slapd that starts as a consumer catches up. ldapsearch reads the same entries beside each, in turn; ratio is the median of the pairs.
func BenchmarkSyncLDAP(b *testing.B) {
	generated := people.New(1)
	s := ldaptest.StartSlapd(b, ldaptest.SlapdOptions{Load: func(w io.Writer, suffix string) error { return generated.WriteLDIF(w, benchPeople, suffix) }})
	properties := personProperties()
	start := func(b *testing.B) *pipeline.Node {
		return startBenchNode(b, b.TempDir(), &ldap.Config{Type: "openldap", Servers: []string{s.URL}, BindDN: s.SyncDN, BindPassword: s.SyncPassword,
			BaseDNs: []string{"ou=people," + s.Suffix}}, properties)
	}
	ldapsearch(b, s)
	b.Run("first", func(b *testing.B) {
		paired(b, s, func() time.Duration {
			node := start(b)
			defer stopNode(b, node)
			return timed(func() { wantRun(b, benchSync(b, node), "created", benchPeople) })
		})
	})
	node := start(b)
	defer stopNode(b, node)
	benchSync(b, node)
	b.Run("second", func(b *testing.B) {
		paired(b, s, func() time.Duration {
			return timed(func() { wantRun(b, benchRun(b, node, pipeline.SyncOptions{Full: true}), "unchanged", benchPeople) })
		})
	})
	changes := 0
	change := func(n int) {
		changes++
		for i := range n {
			s.Replace("uid="+generated.Person(i*7).UID+",ou=people,"+s.Suffix, "title", fmt.Sprintf("Title %d", changes))
		}
	}
	b.Run("changed=1000", func(b *testing.B) {
		paired(b, s, func() time.Duration {
			change(1000)
			return timed(func() { wantRun(b, benchRun(b, node, pipeline.SyncOptions{Full: true}), "updated", 1000) })
		})
	})
	for _, n := range []int{0, 100, 10_000} {
		b.Run(fmt.Sprintf("incremental=%d", n), func(b *testing.B) {
			var own time.Duration
			for b.Loop() {
				b.StopTimer()
				change(n)
				before := processorTime(b)
				b.StartTimer()
				wantRun(b, benchSync(b, node), "updated", n)
				own += processorTime(b) - before
			}
			b.ReportMetric(own.Seconds()*1000/float64(b.N), "cpu-ms/op")
		})
	}
	consumer := ldaptest.StartSlapd(b, ldaptest.SlapdOptions{Provider: s})
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("slapd-consumer=%d", n), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				consumer.Stop()
				change(n)
				b.StartTimer()
				consumer.Restart()
				for want := s.ContextCSN(); consumer.ContextCSN() != want; {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
}

// pairs is how many pairs are measured in turn where a ratio is wanted; their median is what counts.
const pairs = 5

// paired times run beside ldapsearch.
func paired(b *testing.B, s *ldaptest.Server, run func() time.Duration) {
	var ratios, seconds []float64
	for b.Loop() {
		for range pairs {
			own := run()
			ratios = append(ratios, own.Seconds()/ldapsearch(b, s).Seconds())
			seconds = append(seconds, own.Seconds())
		}
	}
	b.ReportMetric(median(ratios), "ratio-to-ldapsearch")
	b.ReportMetric(benchPeople/median(seconds), "users/s")
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

func timed(run func()) time.Duration {
	begun := time.Now()
	run()
	return time.Since(begun)
}

func ldapsearch(b *testing.B, s *ldaptest.Server) time.Duration {
	b.Helper()
	return timed(func() {
		command := exec.Command("ldapsearch", "-x", "-LLL", "-H", s.URL, "-D", s.SyncDN, "-w", s.SyncPassword, "-E", "pr=1000/noprompt",
			"-b", "ou=people,"+s.Suffix, "(objectClass=inetOrgPerson)")
		if err := command.Run(); err != nil {
			b.Fatal(err)
		}
	})
}

func wantRun(b *testing.B, run store.Run, counter string, n int) {
	b.Helper()
	if got := map[string]int{"created": run.Created, "unchanged": run.Unchanged, "updated": run.Updated}[counter]; run.State != store.Applied || got != n {
		b.Fatalf("%s %d, want %d: %s %s", counter, got, n, run.State, run.Reason)
	}
}

// A change at rest: from "finished" in the log to the event at a subscriber.
func BenchmarkEventLatency(b *testing.B) {
	dir := b.TempDir()
	path := filepath.Join(dir, "people.csv")
	write := func(i int) {
		rows := fmt.Sprintf("USERNAME_ALIASES,PHONE\nalice,%d\nbob,1\n", i)
		if err := os.WriteFile(path, []byte(rows), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	write(0)
	node := benchNode(b, filepath.Join(dir, "data"), path)
	defer stopNode(b, node)
	benchSync(b, node)
	arrived := make(chan time.Time, 100)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	go func() {
		_ = node.Client().Events(ctx, pipeline.EventOptions{Follow: true}, func(events.UserChanged) error { arrived <- time.Now(); return nil })
	}()
	<-arrived
	<-arrived
	var took []time.Duration
	for b.Loop() {
		write(len(took) + 1)
		run := benchSync(b, node)
		wantRun(b, run, "updated", 1)
		took = append(took, (<-arrived).Sub(run.Finished))
	}
	reportLatency(b, took)
}

// The same file again: nothing changed.
func BenchmarkSecondSyncCSV(b *testing.B) {
	path := peopleFile(b, benchPeople)
	node := benchNode(b, b.TempDir(), path)
	defer stopNode(b, node)
	benchSync(b, node)
	for b.Loop() {
		begun := time.Now()
		if run := benchSync(b, node); run.Unchanged != benchPeople {
			b.Fatalf("unchanged %d: %s %s", run.Unchanged, run.State, run.Reason)
		}
		b.ReportMetric(benchPeople/time.Since(begun).Seconds(), "users/s")
	}
}

func peopleFile(b *testing.B, n int) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "people.csv")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if err := people.New(1).WriteCSV(f, n); err != nil {
		b.Fatal(err)
	}
	return path
}

func benchNode(b *testing.B, dir, path string, change ...func(*pipeline.Config)) *pipeline.Node {
	b.Helper()
	return startBenchNode(b, dir, &csv.Config{Path: path}, columns(), change...)
}

// columns maps all columns of the file with people.
func columns() map[string]mapping.Rule {
	list := func(from string, skip, take int) mapping.Rule {
		return mapping.Rule{From: []string{from}, Split: ",", Skip: skip, Take: take}
	}
	return map[string]mapping.Rule{
		"user_name": list("USERNAME_ALIASES", 0, 1), "aliases": list("USERNAME_ALIASES", 1, 0), "full_name": from("FULLNAME"), "email": from("EMAIL"),
		"cards": list("CARDS", 0, 0), "personal_number": from("CODE"), "user_storage": from("SCANSTORAGE"), "phone": from("PHONE"),
		"default_language": from("LANG"), "department": from("DEPARTMENT"), "notes": from("NOTES"), "custom_1": from("CUSTOM1"),
		"custom_2": from("CUSTOM2"), "cost_centers": list("COST_CENTERS", 0, 0)}
}

func personProperties() map[string]mapping.Rule {
	properties := map[string]mapping.Rule{}
	for property, attribute := range inetOrgPerson {
		properties[property] = from(attribute)
	}
	return properties
}

func from(attribute string) mapping.Rule { return mapping.Rule{From: []string{attribute}} }

func startBenchNode(b *testing.B, dir string, reader connectors.Config, properties map[string]mapping.Rule, change ...func(*pipeline.Config)) *pipeline.Node {
	b.Helper()
	source := pipeline.Source{Name: "people", Enabled: true, Reader: reader, Options: rosterOptions("people"), Mapping: mapping.Config{Properties: properties}}
	config := pipeline.Config{DataDir: dir, EventsKeep: time.Hour, Sources: []pipeline.Source{source}}
	for _, fn := range change {
		fn(&config)
	}
	node, err := pipeline.Start(context.Background(), config, zerolog.New(os.Stderr).Level(zerolog.WarnLevel))
	if err != nil {
		b.Fatal(err)
	}
	return node
}

func benchSync(b *testing.B, node *pipeline.Node) store.Run {
	b.Helper()
	return benchRun(b, node, pipeline.SyncOptions{})
}

func benchRun(b *testing.B, node *pipeline.Node, o pipeline.SyncOptions) store.Run {
	b.Helper()
	job, err := node.Client().Sync(context.Background(), "people", o)
	if err != nil {
		b.Fatal(err)
	}
	run, err := node.Client().Follow(context.Background(), "people", job, nil)
	if err != nil {
		b.Fatal(err)
	}
	return run
}

func stopNode(b *testing.B, node *pipeline.Node) {
	b.Helper()
	if err := node.Stop(); err != nil {
		b.Fatal(err)
	}
}

// A first run of 20,000 people whose records go through 1, 2 and 4 normalizers in nodes of their own, each slowed to 1,000 records a second:
// the records reach all of them, and the time goes down with their number.
func BenchmarkNormalizers(b *testing.B) {
	const records, rate = 20_000, 1000
	path := peopleFile(b, records)
	var alone float64
	for _, count := range []int{1, 2, 4} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			for b.Loop() {
				server, err := broker.Start(broker.Options{Dir: b.TempDir(), Log: zerolog.Nop()})
				if err != nil {
					b.Fatal(err)
				}
				url := strings.Replace(server.URL(), "//", "//"+server.Credentials().User+":"+server.Credentials().Password+"@", 1)
				outside := func(roles ...string) *pipeline.Node {
					return benchNode(b, b.TempDir(), path, func(c *pipeline.Config) {
						c.NATS.URL, c.Roles, c.NormalizeRate = url, roles, rate
					})
				}
				node := outside(pipeline.RoleReconciler, pipeline.RoleConnector)
				var normalizers []*pipeline.Node
				for range count {
					normalizers = append(normalizers, outside(pipeline.RoleNormalizer))
				}
				took := timed(func() { wantRun(b, benchSync(b, node), "created", records) })
				b.ReportMetric(records/took.Seconds(), "users/s")
				if count == 1 {
					alone = took.Seconds()
				}
				b.ReportMetric(alone/took.Seconds(), "times-one")
				for _, n := range append(normalizers, node) {
					stopNode(b, n)
				}
				server.Stop()
			}
		})
	}
}

// A live source on a slapd with 100,000 people: from the moment at which the server has confirmed a change to the event at a subscriber,
// one after the other; 10,000 changes as fast as the server takes them, until the last event; and how long it takes until a second slapd
// shows a change that it replicates (refreshAndPersist), which is asked again and again.
func BenchmarkLiveSlapd(b *testing.B) {
	generated := people.New(1)
	s := ldaptest.StartSlapd(b, ldaptest.SlapdOptions{Load: func(w io.Writer, suffix string) error { return generated.WriteLDIF(w, benchPeople, suffix) }})
	reader := &ldap.Config{Type: "openldap", Servers: []string{s.URL}, BindDN: s.SyncDN, BindPassword: s.SyncPassword, BaseDNs: []string{"ou=people," + s.Suffix}, Live: true}
	properties := personProperties()
	node := startBenchNode(b, b.TempDir(), reader, properties, func(c *pipeline.Config) { c.Sources[0].Live = true })
	defer stopNode(b, node)
	arrived := make(chan time.Time, 2*benchPeople)
	go func() {
		_ = node.Client().Events(b.Context(), pipeline.EventOptions{Follow: true}, func(events.UserChanged) error { arrived <- time.Now(); return nil })
	}()
	for range benchPeople {
		<-arrived
	}
	admin := s.Conn()
	changes := 0
	change := func() {
		changes++
		r := goldap.NewModifyRequest("uid="+generated.Person(changes%benchPeople).UID+",ou=people,"+s.Suffix, nil)
		r.Replace("title", []string{fmt.Sprint("Title ", changes)})
		if err := admin.Modify(r); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("one", func(b *testing.B) {
		var took []time.Duration
		for b.Loop() {
			change()
			confirmed := time.Now()
			took = append(took, (<-arrived).Sub(confirmed))
		}
		reportLatency(b, took)
	})
	b.Run("burst=10000", func(b *testing.B) {
		const burst = 10_000
		for b.Loop() {
			begun := time.Now()
			for range burst {
				change()
			}
			written := time.Since(begun)
			for range burst {
				<-arrived
			}
			b.ReportMetric(burst/written.Seconds(), "written/s")
			b.ReportMetric(burst/time.Since(begun).Seconds(), "events/s")
		}
	})
	replica := ldaptest.StartSlapd(b, ldaptest.SlapdOptions{Provider: s})
	asking := replica.Conn()
	b.Run("slapd-replica", func(b *testing.B) {
		var took []time.Duration
		for b.Loop() {
			change()
			confirmed := time.Now()
			shown := goldap.NewSearchRequest("uid="+generated.Person(changes%benchPeople).UID+",ou=people,"+s.Suffix, goldap.ScopeBaseObject, goldap.NeverDerefAliases, 0, 0, false,
				fmt.Sprintf("(title=Title %d)", changes), []string{"1.1"}, nil)
			for {
				found, err := asking.Search(shown)
				if err != nil {
					b.Fatal(err)
				}
				if len(found.Entries) == 1 {
					break
				}
			}
			took = append(took, time.Since(confirmed))
			<-arrived
		}
		reportLatency(b, took)
	})
}

func reportLatency(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
