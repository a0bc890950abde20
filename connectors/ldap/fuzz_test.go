package ldap

import (
	"bytes"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"rollcall/connectors"
)

// What go-ldap's decoder makes of an entry is what ours makes of it, and nothing makes ours panic.
func FuzzParseEntry(f *testing.F) {
	f.Add(entryMessage("uid=alice,dc=example", "uid", "alice", "cn", ""))
	f.Add(entryMessage("", "member;range=0-1499", "\x00\xff"))
	f.Add([]byte{0x64, 0x84, 0, 0, 0, 4, 4, 0, 0x30, 0})
	f.Fuzz(func(t *testing.T, message []byte) {
		_, content, rest, err := element(message)
		if err != nil || len(rest) > 0 || message[0] != tagSearchEntry {
			return
		}
		var names, values []string
		dn, err := parseEntry(string(content), func(name, list string) error {
			names = append(names, name)
			for list != "" {
				var value string
				var err error
				if value, list, err = expect(list, tagOctets); err != nil {
					return err
				}
				values = append(values, value)
			}
			return nil
		})
		var r connectors.Record
		_ = newDecoder("uid", []string{"cn"}, true, time.Time{}).decode(content, &r)
		if err != nil {
			return
		}
		packet, err := ber.DecodePacketErr(message)
		if err != nil || !strict(packet) {
			return
		}
		wantDN, wantNames, wantValues := reference(packet)
		if dn != wantDN || !slices.Equal(names, wantNames) || !slices.Equal(values, wantValues) {
			t.Errorf("%q %q %q, asn1-ber says %q %q %q", dn, names, values, wantDN, wantNames, wantValues)
		}
	})
}

// reference reads an entry from the tree that go-ldap works on.
func reference(packet *ber.Packet) (dn string, names, values []string) {
	dn = string(packet.Children[0].ByteValue)
	for _, a := range packet.Children[1].Children {
		names = append(names, string(a.Children[0].ByteValue))
		for _, v := range a.Children[1].Children {
			values = append(values, string(v.ByteValue))
		}
	}
	return dn, names, values
}

// strict reports whether a tree has the shape of an entry and nothing beside it, which neither decoder insists on.
func strict(p *ber.Packet) bool {
	if len(p.Children) != 2 || len(p.Children[1].Children) == 0 {
		return false
	}
	for _, a := range p.Children[1].Children {
		if len(a.Children) != 2 {
			return false
		}
	}
	return true
}

// Whatever bytes come, the tap ends, with an error, and go-ldap sees no entry.
func FuzzTap(f *testing.F) {
	search := append([]byte{0x30, 0, 2, 1, 2}, entryMessage("uid=a", "uid", "a")...)
	search[1] = byte(len(search) - 2)
	f.Add(append(search, 0x30, 12, 2, 1, 2, 0x65, 7, 10, 1, 0, 4, 0, 4, 0))
	f.Add([]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0x30, 0x80})
	f.Fuzz(func(t *testing.T, stream []byte) {
		tap := newTap(&stored{in: bytes.NewReader(stream)}, time.Second)
		tap.sink.Store(&sink{entry: func(content []byte) error {
			_, err := parseEntry(string(content), func(string, string) error { return nil })
			return err
		}, reference: func([]byte) error { return nil }})
		chunk := make([]byte, 100)
		for {
			if _, err := tap.Read(chunk); err != nil {
				return
			}
		}
	})
}

// Whatever comes as sync information is refused, or has the ids, cookie and flag that go-ldap finds in it.
func FuzzSyncInfo(f *testing.F) {
	id := strings.Repeat("i", 16)
	oid := "\x80\x18" + syncInfoOID
	for _, value := range []string{"\x80\x03abc", "\xa1\x05\x04\x03abc", "\xa2\x03\x01\x01\x00", "\xa3\x17\x01\x01\xff\x31\x12\x04\x10" + id,
		"\xa3\x14\x31\x12\x04\x10" + id, "\xa3\x19\x04\x03abc\x31\x12\x04\x10" + id, "\xa3\x02\x31\x00"} {
		f.Add([]byte(oid + "\x81" + string(rune(len(value))) + value))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		info, ok, err := parseSyncInfo(content)
		if err != nil || !ok {
			return
		}
		_, rest, _ := expect(string(content), 0x80)
		value, _, _ := expect(rest, 0x81)
		packet, err := ber.DecodePacketErr([]byte(value))
		if err != nil || !strict(packet) {
			return
		}
		theirs, err := ldap.NewControlSyncInfo(packet)
		if err != nil {
			return
		}
		var ids []string
		cookie := ""
		switch {
		case theirs.NewCookie != nil:
			cookie = string(theirs.NewCookie.Cookie)
		case theirs.SyncIdSet != nil:
			cookie = string(theirs.SyncIdSet.Cookie)
			for _, u := range theirs.SyncIdSet.SyncUUIDs {
				ids = append(ids, string(u[:]))
			}
			if theirs.SyncIdSet.RefreshDeletes != info.flag {
				t.Errorf("refreshDeletes is %t", info.flag)
			}
		case theirs.RefreshDelete != nil:
			cookie = string(theirs.RefreshDelete.Cookie)
		case theirs.RefreshPresent != nil:
			cookie = string(theirs.RefreshPresent.Cookie)
		}
		if cookie != info.cookie || !slices.Equal(ids, info.ids) {
			t.Errorf("cookie %q ids %q, go-ldap has %q %q", info.cookie, info.ids, cookie, ids)
		}
	})
}

// Whatever controls come with an entry, its state is one of the four and its id has 16 bytes.
func FuzzSyncState(f *testing.F) {
	state := "\x30\x15\x0a\x01\x01\x04\x10" + strings.Repeat("i", 16)
	control := "\x04\x18" + ldap.ControlTypeSyncState + "\x04\x17" + state
	f.Add([]byte("\xa0" + string(rune(len(control)+2)) + "\x30" + string(rune(len(control))) + control))
	f.Add([]byte("\xa0\x04\x30\x02\x04\x00"))
	f.Fuzz(func(t *testing.T, controls []byte) {
		if s, err := parseSyncState(controls); err == nil && (len(s.uuid) != 16 || s.state < 0 || s.state > 3) {
			t.Errorf("%+v", s)
		}
	})
}

// stored is a connection whose other end said everything before.
type stored struct {
	net.Conn
	in *bytes.Reader
}

func (s *stored) Read(p []byte) (int, error)      { return s.in.Read(p) }
func (s *stored) Close() error                    { return nil }
func (s *stored) SetReadDeadline(time.Time) error { return nil }

// Lines of a filter make a filter, or an error.
func FuzzFilterOfLines(f *testing.F) {
	f.Add("ou=IT*\nmail=*@example.com")
	f.Add("cn=a)(b=*\\")
	f.Fuzz(func(t *testing.T, text string) {
		filter, err := filterOfLines(text)
		if err != nil || filter == "(|)" {
			return
		}
		packet, err := ldap.CompileFilter(filter)
		if err != nil {
			return // "**", which the source's configuration is told
		}
		lines := 0
		for line := range strings.Lines(text) {
			if strings.TrimSpace(line) != "" {
				lines++
			}
		}
		if packet.Tag != ldap.FilterOr || len(packet.Children) != lines {
			t.Errorf("%q became %s", text, filter)
		}
	})
}

// Every text that stands for a value leads back to it.
func FuzzValues(f *testing.F) {
	f.Add("0123456789abcdef", uint8(guidMixed))
	f.Add("\x01\x01\x00\x00\x00\x00\x00\x05\x12\x00\x00\x00", uint8(sid))
	f.Add("133536816005000000", uint8(fileTime))
	f.Fuzz(func(t *testing.T, value string, kind uint8) {
		s := syntax(kind % 6)
		text := s.text(value)
		if strings.ToValidUTF8(text, "") != text {
			t.Errorf("%q is no UTF-8", text)
		}
		isID := s == sid && strings.HasPrefix(text, "S-") && text != value || (s == guidMixed || s == guidPlain) && len(value) == 16 || s == plain
		if isID && !slices.Contains(s.bytes(text), value) {
			t.Errorf("%q became %q, which became %q", value, text, s.bytes(text))
		}
	})
}

// entryMessage is a SearchResultEntry as go-ldap's own encoder writes it, of pairs of a name and a value.
func entryMessage(dn string, pairs ...string) []byte {
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "")
	p.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, dn, ""))
	list := ber.NewSequence("")
	for pair := range slices.Chunk(pairs, 2) {
		a := ber.NewSequence("")
		a.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, pair[0], ""))
		set := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
		set.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, pair[1], ""))
		a.AppendChild(set)
		list.AppendChild(a)
	}
	p.AppendChild(list)
	return p.Bytes()
}

// An entry costs one string and nothing else, whatever it holds.
func TestDecodeAllocations(t *testing.T) {
	var pairs []string
	for _, name := range []string{"uid", "cn", "sn", "mail", "entryUUID", "title", "pager", "ou", "o", "street"} {
		pairs = append(pairs, name, "value of "+name)
	}
	_, content, _, err := element(entryMessage("uid=alice,dc=example", pairs...))
	if err != nil {
		t.Fatal(err)
	}
	d := newDecoder("entryUUID", []string{"uid", "mail", "telephoneNumber"}, true, time.Time{})
	var r connectors.Record
	if got := testing.AllocsPerRun(100, func() { err = d.decode(content, &r) }); err != nil || got > 2 || len(r.Attributes) != 11 {
		t.Errorf("%v allocations an entry, %d attributes, %v", got, len(r.Attributes), err)
	}
}
