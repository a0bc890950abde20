package ldap

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"rollcall/connectors"
)

// An id set is read whatever of it is left out (RFC 4533, 2.5): go-ldap before 3.4.15 read a set without a cookie as an empty one.
func TestIDSets(t *testing.T) {
	a, b := strings.Repeat("a", 16), strings.Repeat("b", 16)
	set := "\x31\x24\x04\x10" + a + "\x04\x10" + b
	for name, test := range map[string]struct {
		value string
		gone  bool
		want  []string
	}{
		"present, no cookie": {"\xa3\x26" + set, false, []string{a, b}},
		"present, cookie":    {"\xa3\x2b\x04\x03abc" + set, false, []string{a, b}},
		"gone":               {"\xa3\x29\x01\x01\xff" + set, true, []string{a, b}},
		"empty":              {"\xa3\x02\x31\x00", false, nil},
		"a short id":         {"\xa3\x05\x31\x03\x04\x01a", false, nil},
		"cut":                {"\xa3\x26" + set[:20], false, nil},
	} {
		content := "\x80\x18" + syncInfoOID + "\x81" + string([]byte{byte(len(test.value))}) + test.value
		info, ok, err := parseSyncInfo([]byte(content))
		if broken := name == "a short id" || name == "cut"; broken != (err != nil) {
			t.Errorf("%s: %v", name, err)
		} else if !broken && (!ok || info.flag != test.gone || !slices.Equal(info.ids, test.want)) {
			t.Errorf("%s: %+v", name, info)
		}
	}
}

// Not to have been mentioned means something else to each vendor.
func TestNotMentioned(t *testing.T) {
	for name, test := range map[string]struct {
		refresh refresh
		deletes bool
		present bool
		err     error
	}{
		"OpenLDAP, delete phase":             {refresh{cookie: "c", vendor: "openldap"}, true, false, nil},
		"OpenLDAP, present phase":            {refresh{cookie: "c", vendor: "openldap"}, false, true, nil},
		"OpenLDAP, one after the other":      {refresh{cookie: "c", vendor: "openldap", presence: true}, true, true, nil},
		"389":                                {refresh{cookie: "c", vendor: "389ds"}, false, false, nil},
		"389, which never has a list":        {refresh{cookie: "c", vendor: "389ds", mentioned: true, pass: &pass{session: &session{}}}, false, false, connectors.ErrCheckpointExpired},
		"no cookie: everything, told as new": {refresh{vendor: "openldap"}, true, false, connectors.ErrCheckpointExpired},
	} {
		present, err := test.refresh.isPresent(test.deletes)
		if present != test.present || !errors.Is(err, test.err) {
			t.Errorf("%s: %t, %v", name, present, err)
		}
	}
}

// A cookie goes on only where the server knows neither less nor of more servers.
func TestGoesOn(t *testing.T) {
	csn := func(time, server string) string { return time + ".000000Z#000000#" + server + "#000000" }
	one, two := csn("20260101000000", "001"), csn("20260101000000", "002")
	for name, test := range map[string]struct {
		cookie, server []string
		good           bool
	}{
		"equal":             {[]string{one}, []string{one}, true},
		"newer":             {[]string{one}, []string{csn("20260102000000", "001")}, true},
		"older":             {[]string{one}, []string{csn("20250101000000", "001")}, false},
		"another one more":  {[]string{one}, []string{one, two}, false},
		"one less":          {[]string{one, two}, []string{one}, false},
		"nobody may see it": {[]string{one}, nil, true},
		"no cookie":         {nil, []string{one}, false},
	} {
		if err := goesOn(test.cookie, test.server); (err == nil) != test.good || err != nil && !errors.Is(err, connectors.ErrCheckpointExpired) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
