package csv_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"rollcall/connectors"
	"rollcall/connectors/csv"
)

// read makes a pass over a file of that text. Every record is shown as "key name[ disabled] A=a B=".
func read(t *testing.T, c csv.Config, wanted []string, text string) ([]string, connectors.Outcome, error) {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	if c.Path == "" {
		c.Path = "people.csv"
		replace(t, c.Path, text)
	}
	source, err := c.Open(connectors.Env{Source: "people", Attributes: wanted})
	must(t, err)
	var records []string
	outcome, err := source.Read(context.Background(), nil, func(r connectors.Record) error {
		records = append(records, show(r))
		return nil
	})
	return records, outcome, err
}

func show(r connectors.Record) string {
	parts := []string{r.Key, r.Name}
	if r.Disabled {
		parts = append(parts, "disabled")
	}
	if r.Problem != "" {
		parts = append(parts, "problem: "+r.Problem)
	}
	for _, a := range r.Attributes {
		parts = append(parts, a.Name+"="+strings.Join(a.Values, "§"))
	}
	return strings.Join(parts, " ")
}

// TestV1 reads the same people in every encoding with every delimiter, named and found out.
func TestV1(t *testing.T) {
	const text = "FULLNAME,USERNAME_ALIASES,PHONE\r\n" + "Jiří Šťastný,jiri,\r\n" + "\"Žák, Łukasz\",lukasz,1\r\n"
	want := []string{
		"name:jiri people.csv:2 FULLNAME=Jiří Šťastný PHONE= USERNAME_ALIASES=jiri",
		"name:lukasz people.csv:3 FULLNAME=Žák, Łukasz PHONE=1 USERNAME_ALIASES=lukasz",
	}
	for _, e := range []struct {
		name   string // as configured
		encode func(string) (string, error)
		auto   bool // found out without a name
	}{
		{"utf-8", func(s string) (string, error) { return s, nil }, true},
		{"utf-8", func(s string) (string, error) { return "\ufeff" + s, nil }, true},
		{"utf-16", unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String, true},
		{"utf-16", unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewEncoder().String, true},
		{"utf-16le", unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewEncoder().String, true},
		{"utf-16be", unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM).NewEncoder().String, true},
		{"windows-1250", charmap.Windows1250.NewEncoder().String, false},
		{"Windows-1250", charmap.Windows1250.NewEncoder().String, false},
		{"iso-8859-2", charmap.ISO8859_2.NewEncoder().String, false},
		{"cp1250", charmap.Windows1250.NewEncoder().String, false},
	} {
		for name, delimiter := range map[string]string{",": ",", ";": ";", "tab": "\t", "|": "|", "^": "^"} {
			swapped := strings.NewReplacer(",", delimiter, `"Žák, Łukasz"`, `"Žák, Łukasz"`)
			data, err := e.encode(swapped.Replace(text))
			must(t, err)
			configs := []csv.Config{{Encoding: e.name, Delimiter: name}}
			if delimiter != "^" {
				configs = append(configs, csv.Config{Encoding: e.name, Delimiter: "auto"})
			}
			if delimiter != "^" && e.auto {
				configs = append(configs, csv.Config{Encoding: "auto"})
			}
			for _, c := range configs {
				t.Run(fmt.Sprintf("%s %s as %+v", e.name, name, c), func(t *testing.T) {
					got, _, err := read(t, c, nil, data)
					must(t, err)
					if !reflect.DeepEqual(got, want) {
						t.Fatalf("got  %q\nwant %q", got, want)
					}
				})
			}
		}
	}
}

// TestRows covers what becomes of rows: rules V2, V3 and V4.
func TestRows(t *testing.T) {
	for _, test := range []struct {
		name     string
		config   csv.Config
		wanted   []string
		text     string
		want     []string
		warnings []string
	}{
		{name: "names in any order and case, an empty cell, a missing column",
			text: " extid ,\"Username_Aliases\",phone\n7,\"Alice,al\",\n",
			want: []string{"ext:7 people.csv:2 EXTID=7 PHONE= USERNAME_ALIASES=Alice,al"}},
		{name: "without EXTID the first name is the key, folded, trimmed, unescaped",
			text: "USERNAME_ALIASES;EXTID\n\" AL\\,ICE , al\";\nİSMAİL ŞAHİN;\nSTRASSE;\nStraße;x\nE\u0301va;\n",
			want: []string{
				"name:al,ice people.csv:2 EXTID= USERNAME_ALIASES= AL\\,ICE , al",
				"name:i̇smai̇l şahi̇n people.csv:3 EXTID= USERNAME_ALIASES=İSMAİL ŞAHİN",
				"name:strasse people.csv:4 EXTID= USERNAME_ALIASES=STRASSE",
				"ext:x people.csv:5 EXTID=x USERNAME_ALIASES=Straße",
				"name:éva people.csv:6 EXTID= USERNAME_ALIASES=E\u0301va"}},
		{name: "before anything but a comma, a bar and itself a backslash is a character of the name",
			text: "USERNAME_ALIASES;PHONE\nCORP\\user1;\nCORPuser1;\na\\\\b\\|c\\,d\\;\n",
			want: []string{
				"name:corp\\user1 people.csv:2 PHONE= USERNAME_ALIASES=CORP\\user1",
				"name:corpuser1 people.csv:3 PHONE= USERNAME_ALIASES=CORPuser1",
				"name:a\\b|c,d\\ people.csv:4 PHONE= USERNAME_ALIASES=a\\\\b\\|c\\,d\\"}},
		{name: "trees of groups of one depth are no cells", config: csv.Config{NoHeader: true},
			text: "Al;al;;;A|B|C|D|E|F\nBo;bo;;;A|B|C|D|E|G\n",
			want: []string{
				"name:al people.csv:1 CARDS= EMAIL= FULLNAME=Al GROUPS=A|B|C|D|E|F USERNAME_ALIASES=al",
				"name:bo people.csv:2 CARDS= EMAIL= FULLNAME=Bo GROUPS=A|B|C|D|E|G USERNAME_ALIASES=bo"}},
		{name: "an id and a name of one text are two keys",
			text: "USERNAME_ALIASES,EXTID\nbob,alice\nalice,\n",
			want: []string{"ext:alice people.csv:2 EXTID=alice USERNAME_ALIASES=bob", "name:alice people.csv:3 EXTID= USERNAME_ALIASES=alice"}},
		{name: "another key column", config: csv.Config{Key: "badge"}, wanted: []string{"Team"},
			text:     "Badge,TEAM,FULLNAME,shoe\n 12 ,red,Alice,44\n",
			want:     []string{"key:12 people.csv:2 FULLNAME=Alice Team=red"},
			warnings: []string{"people.csv:1: ignored, as no column is called so and no mapping uses it: SHOE"}},
		{name: "key EXTID alone", config: csv.Config{Key: "EXTID"},
			text: "USERNAME_ALIASES,EXTID\nbob,1\n", want: []string{"ext:1 people.csv:2 EXTID=1 USERNAME_ALIASES=bob"}},
		{name: "PWD is ignored", text: "USERNAME_ALIASES,PWD,\nbob,hunter2,x\n",
			want: []string{"name:bob people.csv:2 USERNAME_ALIASES=bob"},
			warnings: []string{"people.csv:1: the column PWD is ignored: passwords are never read",
				"people.csv:1: ignored, as no column is called so and no mapping uses it: column 3 (without a name)"}},
		{name: "by position", config: csv.Config{NoHeader: true},
			text:     "Alice;alice;a@x;c1,c2;g;17;s;9999;m;srv;p;en;secret;77;d\n;bob;;;;;;;;;;;;;\n",
			warnings: []string{"people.csv:1: the column PWD is ignored: passwords are never read"},
			want: []string{"ext:77 people.csv:1 AUTHSERVER=srv CARDS=c1,c2 CODE=17 DELEGATES=d EMAIL=a@x EXTID=77 FULLNAME=Alice GROUPS=g LANG=en" +
				" MANAGED_GROUPS=m PHONE=p PIN=9999 SCANSTORAGE=s USERNAME_ALIASES=alice",
				"name:bob people.csv:2 AUTHSERVER= CARDS= CODE= DELEGATES= EMAIL= EXTID= FULLNAME= GROUPS= LANG= MANAGED_GROUPS= PHONE= PIN= SCANSTORAGE= USERNAME_ALIASES=bob"}},
		{name: "by position, fewer columns", config: csv.Config{NoHeader: true}, text: "Alice,alice\nBob,bob\n",
			want: []string{"name:alice people.csv:1 FULLNAME=Alice USERNAME_ALIASES=alice", "name:bob people.csv:2 FULLNAME=Bob USERNAME_ALIASES=bob"}},
		{name: "quotes, line ends and lines",
			text: "USERNAME_ALIASES,NOTES\r\nann,\"say \"\"hi\"\"\r\nthere\"\r\n\r\nbob,\"\"\r\n\"c\"\"\",a \"b\" c\r\ndan,\" \"\r\n",
			want: []string{"name:ann people.csv:2 NOTES=say \"hi\"\nthere USERNAME_ALIASES=ann", "name:bob people.csv:5 NOTES= USERNAME_ALIASES=bob",
				"name:c\" people.csv:6 NOTES=a \"b\" c USERNAME_ALIASES=c\"", "name:dan people.csv:7 NOTES=  USERNAME_ALIASES=dan"}},
		{name: "no line end after the last row, where that is allowed", config: csv.Config{AllowOpenEnd: true}, text: "USERNAME_ALIASES,NOTES\nann,\nbob,x",
			want: []string{"name:ann people.csv:2 NOTES= USERNAME_ALIASES=ann", "name:bob people.csv:3 NOTES=x USERNAME_ALIASES=bob"}},
		{name: "rows of empty cells are nobody, empty cells beyond the last column nothing",
			text: "USERNAME_ALIASES,NOTES\n,\nann,x,,\n , ,,\n", want: []string{"name:ann people.csv:3 NOTES=x USERNAME_ALIASES=ann"}},
		{name: "inactive", text: "USERNAME_ALIASES,ACTIVE\na,1\nb,0\nc,No\nd,\ne,FALSE\nf,perhaps\n",
			want: []string{"name:a people.csv:2 ACTIVE=1 USERNAME_ALIASES=a", "name:b people.csv:3 disabled ACTIVE=0 USERNAME_ALIASES=b",
				"name:c people.csv:4 disabled ACTIVE=No USERNAME_ALIASES=c", "name:d people.csv:5 ACTIVE= USERNAME_ALIASES=d",
				"name:e people.csv:6 disabled ACTIVE=FALSE USERNAME_ALIASES=e", "name:f people.csv:7 problem: line 7: column ACTIVE is \"perhaps\", want 1 or 0"}},
		{name: "duplicates are refused, all lines named",
			text: "USERNAME_ALIASES,EXTID\nalice,\nbob,\n\"ALICE,x\",\ncyd,1\ndan,1\neve,1\n" + strings.Repeat("zoe,\n", 8),
			want: []string{"name:alice people.csv:2 problem: lines 2 and 4 are both alice", "name:bob people.csv:3 EXTID= USERNAME_ALIASES=bob",
				"ext:1 people.csv:5 problem: lines 5, 6 and 7 are all EXTID 1", "name:zoe people.csv:8 problem: lines 8, 9, 10, 11, 12 and 3 more are all zoe"}},
		{name: "too many and too few cells", text: "FULLNAME,USERNAME_ALIASES,NOTES\nSmith, John,jsmith,x\nBob,bob\nEve,eve,x\n",
			want: []string{"name:john people.csv:2 problem: line 2: 4 cells where 3 are expected",
				"name:bob people.csv:3 problem: line 3: 2 cells where 3 are expected", "name:eve people.csv:4 FULLNAME=Eve NOTES=x USERNAME_ALIASES=eve"}},
		{name: "bytes that are no text", config: csv.Config{Encoding: "utf-8"},
			text: "USERNAME_ALIASES,NOTES\nann,caf\xe9\nbob,a\x00b\ncyd,x\n",
			want: []string{"name:ann people.csv:2 problem: line 2: column NOTES holds bytes that are no text in the file's encoding",
				"name:bob people.csv:3 problem: line 3: column NOTES holds a zero byte", "name:cyd people.csv:4 NOTES=x USERNAME_ALIASES=cyd"}},
		{name: "one broken name in a UTF-8 file does not make it another encoding", text: "USERNAME_ALIASES,NOTES\nann,Jiří\nbob,\xe9\ncyd,žena\n",
			want: []string{"name:ann people.csv:2 NOTES=Jiří USERNAME_ALIASES=ann",
				"name:bob people.csv:3 problem: line 3: column NOTES holds bytes that are no text in the file's encoding", "name:cyd people.csv:4 NOTES=žena USERNAME_ALIASES=cyd"}},
		{name: "no UTF-8 at all", text: "USERNAME_ALIASES,NOTES\nann,caf\xe9\n", want: []string{"name:ann people.csv:2 NOTES=café USERNAME_ALIASES=ann"},
			warnings: []string{"people.csv: the file is not UTF-8 and was read as windows-1252; say so with `encoding:` (windows-1250, iso-8859-2, …)"}},
		{name: "a byte that the encoding does not have", config: csv.Config{Encoding: "windows-1253"}, text: "USERNAME_ALIASES,NOTES\nann,\xd2\nbob,\xe1\n",
			want: []string{"name:ann people.csv:2 problem: line 2: column NOTES holds bytes that are no text in the file's encoding", "name:bob people.csv:3 NOTES=α USERNAME_ALIASES=bob"}},
		{name: "a byte order mark beats the configuration", config: csv.Config{Encoding: "windows-1250"}, text: "\ufeffUSERNAME_ALIASES,NOTES\nann,ř\n",
			want:     []string{"name:ann people.csv:2 NOTES=ř USERNAME_ALIASES=ann"},
			warnings: []string{"people.csv: the file begins with the byte order mark of UTF-8 and was read so, not as windows-1250"}},
		{name: "nobody, and that is allowed", config: csv.Config{AllowEmpty: true}, text: "USERNAME_ALIASES,NOTES\n"},
		{name: "a line longer than the buffer", text: "USERNAME_ALIASES,NOTES\nann," + strings.Repeat("x", 200_000) + "\nbob,\n",
			want: []string{"name:ann people.csv:2 NOTES=" + strings.Repeat("x", 200_000) + " USERNAME_ALIASES=ann", "name:bob people.csv:3 NOTES= USERNAME_ALIASES=bob"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, outcome, err := read(t, test.config, test.wanted, test.text)
			must(t, err)
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
			if !reflect.DeepEqual(outcome.Warnings, test.warnings) {
				t.Errorf("warnings %q\nwant     %q", outcome.Warnings, test.warnings)
			}
			if !outcome.Whole || outcome.Next != nil || outcome.Pages != 1 || outcome.Bytes != int64(len(test.text)) || !filepath.IsAbs(outcome.Server) {
				t.Errorf("outcome %+v", outcome)
			}
		})
	}
}

// TestV5 and the refusals of V4: nothing is emitted, and the message says where and what to try.
func TestV5(t *testing.T) {
	const header = "FULLNAME,USERNAME_ALIASES,NOTES\n"
	cut := ": source was not read to its end"
	lost := ": nobody could say who is missing" + cut
	for _, test := range []struct {
		name   string
		config csv.Config
		text   string
		err    error
		want   string
	}{
		{"missing", csv.Config{Path: "none.csv"}, "", connectors.ErrUnreachable, "open none.csv: " + syscall.ENOENT.Error() + ": source cannot be reached"},
		{"a folder", csv.Config{Path: "."}, "", connectors.ErrScope, "open .: it is no file: configured scope does not exist"},
		{"no bytes", csv.Config{}, "", connectors.ErrIncomplete, "people.csv: the file has no bytes" + cut},
		{"byte order mark only", csv.Config{}, "\ufeff", connectors.ErrIncomplete, "people.csv: the file has no text" + cut},
		{"empty lines only", csv.Config{}, "\r\n\n", connectors.ErrIncomplete, "people.csv: the file has no text" + cut},
		{"header only", csv.Config{}, header, connectors.ErrIncomplete, "people.csv: there is nobody in the file" + cut},
		{"header and empty rows", csv.Config{}, header + ",,\n", connectors.ErrIncomplete, "people.csv: there is nobody in the file" + cut},
		{"cut in a row", csv.Config{}, header + "Al,al,x\nBob,bo", connectors.ErrIncomplete, "people.csv:3: the last line breaks off, 2 cells where 3 are expected" + cut},
		{"cut in a character", csv.Config{}, header + "Al,al,š\nBob,bob,\xc5", connectors.ErrIncomplete,
			"people.csv:3: the last line breaks off, column NOTES holds bytes that are no text in the file's encoding" + cut},
		{"cut in the last cell", csv.Config{}, header + "Al,al,x\nBob,bob,y", connectors.ErrIncomplete,
			"people.csv:3: the last line has no line end, so it may break off" + cut},
		{"cut in a line end", csv.Config{}, header + "Al,al,x\r\nBob,bob,y\r", connectors.ErrIncomplete,
			"people.csv:3: the last line has no line end, so it may break off" + cut},
		{"cut in a last line that is blank so far", csv.Config{}, header + "Al,al,x\n,,", connectors.ErrIncomplete,
			"people.csv:3: the last line has no line end, so it may break off" + cut},
		{"cut at the end of the header", csv.Config{AllowEmpty: true}, strings.TrimSpace(header), connectors.ErrIncomplete,
			"people.csv:1: the last line has no line end, so it may break off" + cut},
		{"cut in a row, where an open end is allowed", csv.Config{AllowOpenEnd: true}, header + "Al,al,x\nBob,bo", connectors.ErrIncomplete,
			"people.csv:3: the last line breaks off, 2 cells where 3 are expected" + cut},
		{"filled up with zeros", csv.Config{}, header + "Al,al,x\n\x00\x00\x00\x00", connectors.ErrIncomplete, "people.csv:3: the last line breaks off, 1 cell where 3 are expected" + cut},
		{"cut in a quoted cell", csv.Config{}, header + "Al,al,x\nBob,bob,\"x\ny\n", connectors.ErrIncomplete, "people.csv:3: the file ends inside a quoted cell" + cut},
		{"quotation mark closed by another row", csv.Config{}, header + "\"Al,al,x\n\"Bob\",bob,y\n", connectors.ErrIncomplete,
			"people.csv:2: text follows the closing quotation mark of column 1" + cut},
		{"quotation marks that join rows", csv.Config{}, header + "\"Al,al,x\nBob\",bob,y\nCyd,\"cyd,z\nDan,dan\"\n", connectors.ErrIncomplete,
			"people.csv:4: 2 cells where 3 are expected, in a row over several lines" + lost},
		{"a quotation mark that is never closed", csv.Config{}, header + "\"Al,al,x\n" + strings.Repeat("Bob,bob,y\n", 200_000), connectors.ErrIncomplete,
			"people.csv:2: the quoted cell does not end within 1 MiB" + cut},
		{"no line ends", csv.Config{}, header + strings.Repeat("Bob,bob,y ", 200_000), connectors.ErrIncomplete, "people.csv:2: the line is longer than 1 MiB" + cut},
		{"half a UTF-16 character", csv.Config{Encoding: "utf-16le"}, "E\x00X\x00T\x00I\x00D\x00,\x00A\x00\n\x001\x00,\x00x\x00\n\x00\x01", connectors.ErrIncomplete,
			"people.csv:3: the last line breaks off, 1 cell where 2 are expected" + cut},
		{"no key in a row", csv.Config{}, header + "Al,al,x\nBob,,y\n", connectors.ErrIncomplete, "people.csv:3: no key: USERNAME_ALIASES is empty" + lost},
		{"no key in a row of another key", csv.Config{Key: "notes"}, header + "Al,al,\n", connectors.ErrIncomplete, "people.csv:2: no key: NOTES is empty" + lost},
		{"no first name in a list", csv.Config{}, "EXTID,USERNAME_ALIASES\n,\",al\"\n", connectors.ErrIncomplete, "people.csv:2: no key: EXTID and USERNAME_ALIASES are empty" + lost},
		{"a key that is no text", csv.Config{}, header + "Jiří,b\xe9,y\n", connectors.ErrIncomplete,
			"people.csv:2: the key column USERNAME_ALIASES holds bytes that are no text in the file's encoding" + lost},
		{"a key with a zero byte", csv.Config{}, header + "Al,a\x00l,y\n", connectors.ErrIncomplete, "people.csv:2: the key column USERNAME_ALIASES holds a zero byte" + lost},
		{"a password may stand in the key's place", csv.Config{}, "FULLNAME,PWD,EXTID\nSmith, John,hunter2,7\n", connectors.ErrIncomplete,
			"people.csv:2: 4 cells where 3 are expected, so that a password or PIN may stand in the place of the key" + lost},
		{"a key that may be missing", csv.Config{}, "USERNAME_ALIASES,NOTES,EXTID\nal,x,1\nbob,y\ncyd,z,3\n", connectors.ErrIncomplete,
			"people.csv:3: 2 cells where 3 are expected, so that the key may be missing" + lost},
		{"one column", csv.Config{}, "FULLNAME^USERNAME_ALIASES\nAl^al\n", connectors.ErrScope,
			`people.csv:1: one column only ("FULLNAME^USERNAME_ALIASES") with the delimiter ",": configured scope does not exist`},
		{"wrong delimiter", csv.Config{Delimiter: "tab"}, header + "Al,al,x\n", connectors.ErrScope,
			`people.csv:1: one column only ("FULLNAME,USERNAME_ALIASES,NOTES") with the delimiter tab: configured scope does not exist`},
		{"one column by position", csv.Config{NoHeader: true}, "alice\nbob\n", connectors.ErrScope,
			`people.csv:1: one column only ("alice") with the delimiter ",": configured scope does not exist`},
		{"no key column", csv.Config{}, "FULLNAME,EMAIL\nAl,a@x\n", connectors.ErrScope,
			"people.csv:1: there is neither a column USERNAME_ALIASES nor EXTID: configured scope does not exist"},
		{"no such key column", csv.Config{Key: "Badge"}, header + "Al,al,x\n", connectors.ErrScope,
			"people.csv:1: there is no column BADGE, which `key:` names: configured scope does not exist"},
		{"a column twice", csv.Config{}, "EXTID,Email,email\n1,a,b\n", connectors.ErrScope, "people.csv:1: columns 2 and 3 are both EMAIL: configured scope does not exist"},
		{"a header that is not expected", csv.Config{NoHeader: true}, header + "Al,al,x\n", connectors.ErrScope,
			"people.csv:1: the first line holds column names, but no_header is true: configured scope does not exist"},
		{"too many columns by position", csv.Config{NoHeader: true}, strings.Repeat("x,", 15) + "\n", connectors.ErrScope,
			"people.csv:1: 16 cells, but a file without a header has at most 15: configured scope does not exist"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, outcome, err := read(t, test.config, nil, test.text)
			if err == nil || test.want != "" && err.Error() != test.want || !errors.Is(err, test.err) {
				t.Errorf("got  %v\nwant %v", err, test.want)
			}
			if connectors.HintOf(err) == "" {
				t.Error("no hint")
			}
			if len(got) > 0 || !reflect.DeepEqual(outcome, connectors.Outcome{}) {
				t.Errorf("emitted %q, outcome %+v", got, outcome)
			}
		})
	}
}

// TestCutAnywhere cuts a file at every byte, in several encodings: the pass fails and emits nothing, or the cut is at the end of a line
// and every row before it is emitted as it stands (V5).
func TestCutAnywhere(t *testing.T) {
	const text = "FULLNAME,USERNAME_ALIASES,EXTID\r\nJiří,\"jiri,js\",1\n\n\"Al \"\"A\"\"\nNovak\",al,22\r\n,,\nBob,bob,333\n"
	utf16, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String(text)
	must(t, err)
	latin, err := charmap.Windows1250.NewEncoder().String(text)
	must(t, err)
	for encoding, whole := range map[string]string{"utf-8": text, "utf-16": utf16, "windows-1250": latin} {
		t.Run(encoding, func(t *testing.T) {
			want, _, err := read(t, csv.Config{Encoding: encoding}, nil, whole)
			must(t, err)
			good := map[int]bool{}
			for n := range len(whole) {
				got, _, err := read(t, csv.Config{Encoding: encoding}, nil, whole[:n])
				if err != nil && len(got) > 0 || err == nil && !reflect.DeepEqual(got, want[:len(got)]) {
					t.Errorf("cut at byte %d: %q, %v", n, got, err)
				}
				if good[len(got)] = true; err == nil && !strings.HasSuffix(strings.TrimRight(whole[:n], "\x00"), "\n") {
					t.Errorf("cut at byte %d, in a line, is taken as whole: %q", n, got)
				}
			}
			if !good[1] || !good[2] {
				t.Error("a file that was cut at a line end was not read")
			}
		})
	}
}

// TestPresentFindsMovedKeys keeps the person whose cells moved under other columns from being absent.
func TestPresentFindsMovedKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "people.csv")
	replace(t, path, "FULLNAME,USERNAME_ALIASES,EXTID\nSmith, John,JSmith,7\nBob,bob,\nEve,e\\,ve,a,8\n")
	c := open(t, csv.Config{Path: path})
	want := map[string]bool{"name:jsmith": true, "ext:7": true, "name:bob": true, "ext:a,8": true, "name:e,ve": true,
		"name:jsmiths": false, "ext:bob": false, "": false, "ext:": false}
	var keys []string
	for key := range want {
		keys = append(keys, key)
	}
	got, err := c.Present(context.Background(), keys)
	must(t, err)
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	replace(t, path, "FULLNAME,USERNAME_ALIASES,EXTID\nEve,eve,\n\"Bob,bob,\n")
	if got, err := c.Present(context.Background(), keys); !errors.Is(err, connectors.ErrIncomplete) || got != nil {
		t.Fatalf("a torn file answers %v, %v", got, err)
	}
}

func TestCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "people.csv")
	replace(t, path, "FULLNAME;USERNAME_ALIASES;EXTID;;PWD\nAl;al;;x;y\n")
	lines, err := open(t, csv.Config{Path: path}).Check(context.Background())
	must(t, err)
	want := []string{
		`It is read as UTF-8 with the delimiter ";".`,
		"It has 5 columns: FULLNAME, USERNAME_ALIASES, EXTID, column 4 (without a name), PWD.",
		"A row is known by EXTID where it is filled, else by the first of USERNAME_ALIASES.",
		path + ":1: the column PWD is ignored: passwords are never read",
		path + ":1: ignored, as no column is called so and no mapping uses it: column 4 (without a name)",
	}
	if len(lines) != len(want)+1 || !reflect.DeepEqual(lines[1:], want) || !strings.HasPrefix(lines[0], path+" has 48 bytes and was last written ") {
		t.Fatalf("got %q", lines)
	}
}

func TestValidate(t *testing.T) {
	for _, test := range []struct {
		config csv.Config
		want   string
	}{
		{csv.Config{Path: "x"}, ""},
		{csv.Config{Path: "x", Delimiter: "tab", Encoding: "ISO-8859-15", NoHeader: true, Key: "code"}, ""},
		{csv.Config{Path: "x", Delimiter: `\t`, Encoding: "utf8", Key: "badge"}, ""},
		{csv.Config{Delimiter: "::", Encoding: "klingon", NoHeader: true, Key: "ACTIVE"},
			"path is missing\ndelimiter: \"::\" is no delimiter\nencoding: \"klingon\" is not known\nkey: ACTIVE is no column of a file without a header"},
		{csv.Config{Paths: []string{"x", "y"}}, ""},
		{csv.Config{Path: "x", Paths: []string{"y"}}, "paths: there is a path too"},
		{csv.Config{Paths: []string{"x", ""}}, "paths: one of them is empty"},
		{csv.Config{Paths: []string{"a/x", "./a//x"}}, "paths: a file stands there twice"},
		{csv.Config{Path: "x", Delimiter: `"`, Key: "pin"}, "delimiter: \"\\\"\" is no delimiter\nkey: pin holds secrets, and keys are not secret"},
	} {
		got := ""
		if err := test.config.Validate(); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%+v: got %q, want %q", test.config, got, test.want)
		}
	}
}

// TestScope: what decides who is in the source changes the text, and nothing else.
func TestScope(t *testing.T) {
	base := (&csv.Config{Path: "a/people.csv", Key: "extid"}).Scope()
	if want := `csv path="a/people.csv" no_header=false key="EXTID"`; base != want {
		t.Errorf("got %s, want %s", base, want)
	}
	same := csv.Config{Path: "./a//people.csv", Key: "EXTID ", Delimiter: ";", Encoding: "utf-8", AllowEmpty: true, AllowOpenEnd: true}
	if same.Scope() != base {
		t.Errorf("%s differs from %s", same.Scope(), base)
	}
	several, turned := csv.Config{Paths: []string{"a", "./b"}, Key: "extid"}, csv.Config{Paths: []string{"b", "a"}, Key: "extid"}
	if several.Scope() != turned.Scope() {
		t.Errorf("%s differs from %s", several.Scope(), turned.Scope())
	}
	for _, other := range []csv.Config{{Path: "a/people.csv"}, {Paths: []string{"a/people.csv", "b"}, Key: "extid"}, {Path: "people.csv", Key: "extid"}, {Path: "a/people.csv", Key: "extid", NoHeader: true}} {
		if other.Scope() == base {
			t.Errorf("%+v has the scope of another file or key", other)
		}
	}
}

func TestColumns(t *testing.T) {
	all := csv.Columns()
	if len(all) != 28 || all[0] != (csv.Column{Name: "FULLNAME", Position: 1}) || all[14] != (csv.Column{Name: "DELEGATES", Position: 15}) ||
		all[15] != (csv.Column{Name: "ALT_EMAILS"}) || all[27] != (csv.Column{Name: "ACTIVE"}) {
		t.Fatalf("got %v", all)
	}
}
