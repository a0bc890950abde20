package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/robfig/cron/v3"

	"rollcall/connectors"
	"rollcall/connectors/entra"
	"rollcall/connectors/ldap"
	"rollcall/pipeline"
	"rollcall/pipeline/mapping"
	"rollcall/pipeline/policy"
)

// source is what sources of every kind have, and what its kind has beside that.
type source struct {
	Kind     string       `yaml:"kind"`
	Enabled  bool         `yaml:"enabled"`
	Label    string       `yaml:"label"`
	Formerly []string     `yaml:"formerly"`
	Domain   string       `yaml:"domain"`
	Schedule string       `yaml:"schedule"`
	Select   selection    `yaml:"select"`
	Options  options      `yaml:"options"`
	Mapping  rules        `yaml:"mapping"`
	Groups   groups       `yaml:"groups"`
	Guard    policy.Guard `yaml:"guard"`
	Export   export       `yaml:"export"`

	name   string
	reader connectors.Config
}

type selection struct {
	DisabledAccounts string   `yaml:"disabled_accounts"`
	Where            []string `yaml:"where"`
	Groups           []string `yaml:"groups"`
	Nested           bool     `yaml:"nested"`
	Guests           bool     `yaml:"guests"`
}

type options struct {
	AddNewUsers                 bool   `yaml:"add_new_users"`
	DeactivateMissingUsers      bool   `yaml:"deactivate_missing_users"`
	AbsentFor                   int    `yaml:"absent_for"`
	IgnoreSynchronizationSource bool   `yaml:"ignore_synchronization_source"`
	Ownership                   string `yaml:"ownership"`
	PairByPersonalNumber        bool   `yaml:"pair_by_personal_number"`
	PairByObjectID              bool   `yaml:"pair_by_object_id"`
	AdoptLocalUsers             bool   `yaml:"adopt_local_users"`
	KeepOldNameAsAlias          bool   `yaml:"keep_old_name_as_alias"`
	UserNameLowercase           bool   `yaml:"user_name_lowercase"`
	AppendDomainToUserName      bool   `yaml:"append_domain_to_user_name"`
	TrustSourceColumn           bool   `yaml:"trust_source_column"`
	UseAuthenticationServer     server `yaml:"use_authentication_server"`
}

type groups struct {
	Under            string      `yaml:"under"`
	Merge            string      `yaml:"merge"`
	KeepDefaultGroup bool        `yaml:"keep_default_group"`
	Ignore           []string    `yaml:"ignore"`
	IgnoreContaining []string    `yaml:"ignore_containing"`
	Rules            []groupRule `yaml:"rules"`
}

type groupRule struct {
	By          string   `yaml:"by"`
	Value       string   `yaml:"value"`
	Index       int      `yaml:"index"`
	StripLeft   int      `yaml:"strip_left"`
	StripRight  int      `yaml:"strip_right"`
	BaseDNs     []string `yaml:"base_dns"`
	Tree        bool     `yaml:"tree"`
	EmptyGroups bool     `yaml:"empty_groups"`
	Nested      bool     `yaml:"nested"`
	MakeDefault bool     `yaml:"make_default"`
}

type export struct {
	Enabled bool   `yaml:"enabled"`
	Path    string `yaml:"path"`
}

// server is "" for no authentication server, "true" for the source itself, or the name of one.
type server string

func (s *server) decodeYAML(d *decoder, path string, n ast.Node) {
	switch text, _, ok := d.text(path, n); {
	case !ok:
	case text == "false":
		*s = ""
	default:
		*s = server(text)
	}
}

// reserved are words that stand where names of sources do (U20), and in subjects.
var reserved = []string{policy.Manual, policy.SelfRegistered, "generated", "command"}

// sources are the sources in the order of the document.
type sources []*source

var sourceName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`)

func (s *sources) decodeYAML(d *decoder, path string, n ast.Node) {
	d.keys(path, n, func(name, at string, value ast.Node) {
		if !sourceName.MatchString(name) {
			d.note(d.places[at], fmt.Sprintf("%q is no name for a source", name), "small letters, digits, \"-\" and \"_\"")
		}
		if slices.Contains(reserved, name) {
			d.note(d.places[at], fmt.Sprintf("%q is no name for a source: values that no source put there are marked so", name), name+"-1")
		}
		one := &source{name: name, Enabled: true, Label: name,
			Select:  selection{DisabledAccounts: "deactivate", Nested: true},
			Options: options{AbsentFor: 1, Ownership: "take", PairByObjectID: true, AdoptLocalUsers: true},
			Guard:   d.guard,
		}
		if one.decode(d, at, d.resolve(at, value)) {
			*s = append(*s, one)
		}
	})
}

// decode reads the kind first, because the kind decides which keys there are.
func (s *source) decode(d *decoder, path string, n ast.Node) bool {
	if n == nil {
		return false // an alias of nothing, noted already
	}
	var kind string
	d.peek(path, n, "kind", func(at string, value ast.Node) { kind, _, _ = d.text(at, d.resolve(at, value)) })
	open, ok := kinds[kind]
	if !ok {
		d.at(join(path, "kind"), fmt.Sprintf("%s: the kind is missing or unknown: %q", path, kind), "csv, ldap, entra")
		return false
	}
	s.reader = open()
	d.structs(path, n, reflect.ValueOf(s).Elem(), reflect.ValueOf(s.reader).Elem())
	return true
}

func (s sources) named(name string) *source {
	for _, one := range s {
		if one.name == name {
			return one
		}
	}
	return nil
}

func (s sources) names() string {
	names := make([]string, len(s))
	for i, one := range s {
		names[i] = one.name
	}
	return strings.Join(names, ", ")
}

// check notes what cannot be in the source.
func (s *source) check(d *decoder, f *file) {
	path := "sources." + s.name
	d.oneOf(path+".options.ownership", s.Options.Ownership, "take", "contribute")
	d.oneOf(path+".select.disabled_accounts", s.Select.DisabledAccounts, "deactivate", "missing", "import")
	if s.Options.AbsentFor < 1 {
		d.at(path+".options.absent_for", path+".options.absent_for counts runs in a row", "1")
	}
	if s.Export.Enabled && s.Export.Path == "" {
		d.at(path+".export", path+".export.path is missing", "path: out/"+s.name+".csv")
	}
	s.checkSchedule(d, path)
	s.checkServer(d, path, f)
	s.checkFormerly(d, path, f)
	s.checkGroups(d, path)
	s.checkReader(d, path)
	s.checkMapping(d, path, f)
}

var fiveFields = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

func (s *source) checkSchedule(d *decoder, path string) {
	if s.Schedule == "" {
		return
	}
	if _, err := fiveFields.Parse(s.Schedule); err != nil {
		d.at(path+".schedule", fmt.Sprintf("%s.schedule: %q is no cron expression: %v", path, s.Schedule, err),
			`minute hour day month weekday: "*/15 * * * *"`)
	}
}

func (s *source) checkServer(d *decoder, path string, f *file) {
	name := string(s.Options.UseAuthenticationServer)
	at := path + ".options.use_authentication_server"
	switch {
	case name == "true" && s.Kind == "csv":
		d.at(at, path+" is a file, nobody signs in there", strings.Join(append([]string{"false"}, f.servers()...), ", "))
	case name != "" && name != "true" && !slices.Contains(f.servers(), name):
		d.at(at, at+": there is no authentication server "+quote(name), strings.Join(append([]string{"true", "false"}, f.servers()...), ", "))
	}
}

func (s *source) checkFormerly(d *decoder, path string, f *file) {
	for i, old := range s.Formerly {
		if f.Sources.named(old) != nil {
			d.at(index(path+".formerly", i), fmt.Sprintf("%s.formerly: %q is still a source", path, old), "remove the source "+old+", or this line")
		}
		for _, other := range f.Sources {
			if other.name < s.name && slices.Contains(other.Formerly, old) {
				d.at(index(path+".formerly", i), fmt.Sprintf("%s.formerly: %q is a former name of %s too", path, old, other.name), "one of the two")
			}
		}
	}
}

var firstWord = regexp.MustCompile(`^[a-z_0-9]+(\[\d+\]|\.[a-z_0-9]+)*`)

// checkReader places the reader's own complaints at the keys they begin with.
func (s *source) checkReader(d *decoder, path string) {
	for _, err := range unjoin(s.reader.Validate()) {
		text := err.Error()
		at := path
		if key := firstWord.FindString(text); key != "" {
			at = path + "." + key // a key that is not there leads to the source
		}
		d.at(at, path+": "+text, HintOf(err))
	}
}

func (s *source) checkMapping(d *decoder, path string, f *file) {
	complete := s.rules()
	for _, property := range complete.names() {
		complete[property].check(d, path+".mapping."+property, property)
	}
	if s.Groups.Merge != "" {
		d.oneOf(path+".groups.merge", s.Groups.Merge, listModes...)
	}
	s.compile(d, path, f)
}

// compile has the mapping itself look at what it is given, and places its complaints at the keys they begin with.
// A key that something was noted about already is left at that.
func (s *source) compile(d *decoder, path string, f *file) {
	noted := d.wrong
	_, err := mapping.Compile(s.mapping(f))
	for _, err := range unjoin(err) {
		key, found := d.find(path, firstWord.FindString(err.Error()), ".mapping.", ".", ".select.", ".options.")
		if !found {
			key = path + ".mapping"
		}
		if !found || !concerns(noted, key) {
			d.at(key, path+": "+err.Error(), HintOf(err))
		}
	}
}

// find returns the path of a key that stands in one of the sections.
func (d *decoder) find(path, key string, sections ...string) (string, bool) {
	for _, section := range sections {
		if _, ok := d.places[path+section+key]; ok {
			return path + section + key, true
		}
	}
	return "", false
}

// servers are the names that use_authentication_server and AUTHSERVER may have (U13).
func (f *file) servers() []string {
	var names []string
	for name := range f.AuthenticationServers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, s := range f.Sources {
		if s.Kind != "csv" {
			names = append(names, s.name)
		}
	}
	return names
}

// compose makes of the source what the pipeline runs.
func (s *source) compose(f *file) pipeline.Source {
	every, live := s.rhythm()
	return pipeline.Source{Name: s.name, Enabled: s.Enabled, Formerly: s.Formerly, Schedule: s.Schedule, Reader: s.reader, ReconcileEvery: every, Live: live,
		Export: s.Export.file(), Mapping: s.mapping(f), Options: s.policy(f)}
}

// file is where the source's users are exported to, "" for nowhere.
func (e export) file() string {
	if !e.Enabled {
		return ""
	}
	return e.Path
}

// rhythm says how often an incremental source is read whole, and whether it stays connected.
func (s *source) rhythm() (every time.Duration, live bool) {
	switch r := s.reader.(type) {
	case *entra.Config:
		return r.ReconcileEvery, false
	case *ldap.Config:
		return r.ReconcileEvery, r.Live
	}
	return 0, false
}

func (s *source) mapping(f *file) mapping.Config {
	c := mapping.Config{
		Properties: map[string]mapping.Rule{}, Domain: s.Domain,
		AppendDomain: s.Options.AppendDomainToUserName, Lowercase: s.Options.UserNameLowercase,
		GroupsUnder: s.Groups.Under, IgnoreGroups: s.Groups.Ignore, IgnoreGroupsContaining: s.Groups.IgnoreContaining,
		StorageTargets: f.StorageTargets, Where: s.Select.Where,
		SelectGroups: s.Select.Groups, EntryNames: s.entryNames(), Lender: s.lender(),
	}
	for property, r := range s.rules() {
		c.Properties[property] = r.Rule
	}
	for _, r := range s.Groups.Rules {
		c.Groups = append(c.Groups, mapping.GroupRule(r))
	}
	if len(c.Groups) == 0 && s.Kind == "csv" {
		c.Groups = []mapping.GroupRule{{By: "attribute", Value: "GROUPS"}}
	}
	return c
}

func (s *source) policy(f *file) policy.Options {
	o := policy.Options{
		Source: s.name, Label: s.Label, Domain: s.Domain,
		AddNewUsers: s.Options.AddNewUsers, DeactivateMissingUsers: s.Options.DeactivateMissingUsers, AbsentFor: s.Options.AbsentFor,
		IgnoreSynchronizationSource: s.Options.IgnoreSynchronizationSource, Ownership: s.Options.Ownership,
		PairByPersonalNumber: s.Options.PairByPersonalNumber, PairByObjectID: s.Options.PairByObjectID,
		AdoptLocalUsers: s.Options.AdoptLocalUsers, KeepOldNameAsAlias: s.Options.KeepOldNameAsAlias,
		TrustSourceColumn: s.Options.TrustSourceColumn, UseAuthenticationServer: string(s.Options.UseAuthenticationServer),
		AuthenticationServers: f.servers(), DisabledAccounts: s.Select.DisabledAccounts,
		Merge: map[string]string{}, Precedence: f.Precedence,
		Memberships: s.groupEntries(), MembershipDefault: s.membershipDefault(), SelectGroups: len(s.Select.Groups) > 0, SelectNested: s.Select.Nested,
		GroupsUnder: s.Groups.Under, KeepDefaultGroup: s.Groups.KeepDefaultGroup, MultipleCards: f.Cards.Multiple,
		Guard: s.Guard, EventCards: f.Events.Cards, PINs: f.PINs.rules(),
	}
	for property, r := range s.rules() {
		if r.merge != "" {
			o.Merge[property] = r.merge
		}
	}
	if s.Groups.Merge != "" {
		o.Merge["groups"] = s.Groups.Merge
	}
	return o
}

// unjoin returns the errors that [errors.Join] put together.
func unjoin(err error) []error {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range many.Unwrap() {
			all = append(all, unjoin(e)...)
		}
		return all
	}
	return []error{err}
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func quote(s string) string { return strconv.Quote(s) }
