package ldaptest

import (
	"io"
	"net"
	"sync"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// Scripted is a server that says what a test wants it to say, for what no real one can be brought to. It signs
// everybody in unless Bind says otherwise.
type Scripted struct {
	// Answer returns what a search is answered with, in order.
	Answer func(Search) []Message
	// Bind is the result of signing in.
	Bind Result
	// LongLengths writes every length in four bytes, as Active Directory does.
	LongLengths bool
	// CutAfter ends the connection after so many bytes of answers to searches, 0 for never.
	CutAfter int

	t    testing.TB
	mu   sync.Mutex
	sent int
}

// Search is a request that came.
type Search struct {
	Base       string
	Scope      int64
	Filter     string
	Attributes []string
	// PageSize is that of the paging control, 0 without one.
	PageSize int
	Cookie   string
	// DirSync is true for a search with that control, and Cookie is then its cookie.
	DirSync bool
}

// Message is one of an entry (DN), references, the end of a search (Done), raw bytes and silence.
type Message struct {
	DN         string
	Attributes []Attribute
	References []string
	Done       *Result
	Raw        []byte
	Hang       bool
}

// Attribute is an attribute of an entry, with any bytes as values.
type Attribute struct {
	Name   string
	Values []string
}

// Result is how an operation ended. Paging says that the paging control with Cookie comes with it, DirSync that DirSync's does; More that another
// round follows.
type Result struct {
	Code            int
	Matched, Text   string
	Paging, DirSync bool
	More            bool
	Cookie          string
}

// StartScripted starts the server, which ends with the test, and returns its URL.
func StartScripted(t testing.TB, s *Scripted) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.t = t
	done := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { s.serve(c, done) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); close(done); all.Wait() })
	return "ldap://" + l.Addr().String()
}

// serve answers one connection's requests.
func (s *Scripted) serve(c net.Conn, done <-chan struct{}) {
	defer c.Close()
	stop := make(chan struct{})
	defer close(stop)
	go func() { // the end of the test ends the connection
		select {
		case <-done:
		case <-stop:
		}
		_ = c.Close()
	}()
	for {
		request, err := ber.ReadPacket(c)
		if err != nil || len(request.Children) < 2 {
			return
		}
		id, op := request.Children[0].ByteValue, request.Children[1]
		switch op.Tag {
		case ldap.ApplicationBindRequest:
			err = s.send(c, s.message(id, 0x61, s.Bind))
		case ldap.ApplicationSearchRequest:
			err = s.search(c, id, searchOf(request), done)
		default:
			return
		}
		if err != nil {
			return
		}
	}
}

func (s *Scripted) search(c net.Conn, id []byte, asked Search, done <-chan struct{}) error {
	for _, m := range s.Answer(asked) {
		var err error
		switch {
		case m.Hang:
			<-done
			return io.EOF
		case m.Raw != nil:
			err = s.cut(c, m.Raw)
		case m.Done != nil:
			err = s.cut(c, s.message(id, 0x65, *m.Done))
		case m.References != nil:
			err = s.cut(c, s.tlv(0x30, s.tlv(0x02, id), s.tlv(0x73, s.strings(m.References))))
		default:
			err = s.cut(c, s.tlv(0x30, s.tlv(0x02, id), s.entry(m)))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// cut sends as much as CutAfter leaves.
func (s *Scripted) cut(c net.Conn, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.CutAfter > 0 && s.sent+len(data) > s.CutAfter {
		_ = s.send(c, data[:max(0, s.CutAfter-s.sent)])
		return io.EOF
	}
	s.sent += len(data)
	return s.send(c, data)
}

// Sent is how many bytes of answers to searches went out.
func (s *Scripted) Sent() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent
}

func (s *Scripted) send(c net.Conn, data []byte) error {
	_, err := c.Write(data)
	return err
}

// message is an LDAPResult with its controls.
func (s *Scripted) message(id []byte, tag byte, r Result) []byte {
	parts := [][]byte{s.tlv(0x02, id), s.tlv(tag, s.tlv(0x0a, []byte{byte(r.Code >> 8), byte(r.Code)}), s.tlv(0x04, []byte(r.Matched)), s.tlv(0x04, []byte(r.Text)))}
	switch {
	case r.Paging:
		parts = append(parts, s.control(ldap.ControlTypePaging, s.tlv(0x02, []byte{0}), s.tlv(0x04, []byte(r.Cookie))))
	case r.DirSync:
		more := byte(0)
		if r.More {
			more = 1
		}
		parts = append(parts, s.control(ldap.ControlTypeDirSync, s.tlv(0x02, []byte{more}), s.tlv(0x02, []byte{0}), s.tlv(0x04, []byte(r.Cookie))))
	}
	return s.tlv(0x30, parts...)
}

// control is the only control of a message.
func (s *Scripted) control(oid string, value ...[]byte) []byte {
	return s.tlv(0xa0, s.tlv(0x30, s.tlv(0x04, []byte(oid)), s.tlv(0x04, s.tlv(0x30, value...))))
}

func (s *Scripted) entry(m Message) []byte {
	var list [][]byte
	for _, a := range m.Attributes {
		list = append(list, s.tlv(0x30, s.tlv(0x04, []byte(a.Name)), s.tlv(0x31, s.strings(a.Values))))
	}
	return s.tlv(0x64, s.tlv(0x04, []byte(m.DN)), s.tlv(0x30, list...))
}

func (s *Scripted) strings(list []string) []byte {
	var all []byte
	for _, v := range list {
		all = append(all, s.tlv(0x04, []byte(v))...)
	}
	return all
}

// tlv is one BER element.
func (s *Scripted) tlv(tag byte, parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	out := []byte{tag}
	switch {
	case s.LongLengths || n > 0xffff:
		out = append(out, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	case n > 0x7f:
		out = append(out, 0x82, byte(n>>8), byte(n))
	default:
		out = append(out, byte(n))
	}
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func searchOf(request *ber.Packet) Search {
	op := request.Children[1]
	asked := Search{Base: string(op.Children[0].ByteValue), Scope: op.Children[1].Value.(int64)}
	asked.Filter, _ = ldap.DecompileFilter(op.Children[6])
	for _, a := range op.Children[7].Children {
		asked.Attributes = append(asked.Attributes, a.Data.String())
	}
	if len(request.Children) > 2 {
		for _, child := range request.Children[2].Children {
			if control, err := ldap.DecodeControl(child); err == nil {
				if paging, ok := control.(*ldap.ControlPaging); ok {
					asked.PageSize, asked.Cookie = int(paging.PagingSize), string(paging.Cookie)
				}
				if dirsync, ok := control.(*ldap.ControlDirSync); ok {
					asked.DirSync, asked.Cookie = true, string(dirsync.Cookie)
				}
			}
		}
	}
	return asked
}
