package ldap

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// maxMessage bounds one LDAP message: a group of a million members has 50 MB.
const maxMessage = 256 << 20

// tap lies between a connection and go-ldap. While a sink is set it takes search entries and references out of the stream
// before go-ldap sees them. A sink has returned for every entry before the search's end is passed on, and a slow
// one is back-pressure to the server.
type tap struct {
	net.Conn
	in   *bufio.Reader
	idle time.Duration // the longest silence of the server
	out  []byte        // what go-ldap has yet to read
	buf  []byte

	sink  atomic.Pointer[sink]
	bytes atomic.Int64
	wait  atomic.Int64 // nanoseconds spent waiting for the server

	mu    sync.Mutex
	asked bool      // a request is on its way, and silence counts
	sent  time.Time // of the last request
	cause error
}

// sink takes what a search returns. What it is given is the sink's only during the call.
type sink struct {
	entry     func(content []byte) error
	reference func(content []byte) error
	// stated takes entries with their controls, in place of entry, and intermediate the responses between them (RFC 4511, 4.13).
	// They are nil for searches that have none.
	stated       func(content, controls []byte) error
	intermediate func(content []byte) error
}

func newTap(conn net.Conn, idle time.Duration) *tap {
	return &tap{Conn: conn, in: bufio.NewReaderSize(conn, 64<<10), idle: idle}
}

// Read gives go-ldap every message that is not the sink's.
func (t *tap) Read(p []byte) (int, error) {
	for len(t.out) == 0 {
		message, err := t.next()
		if err != nil {
			return 0, t.fail(err)
		}
		if t.out, err = t.divert(message); err != nil {
			_ = t.Conn.Close()
			return 0, t.fail(err)
		}
	}
	n := copy(p, t.out)
	t.out = t.out[n:]
	return n, nil
}

// Write sends a request of go-ldap's. From now on the server has to say something.
func (t *tap) Write(p []byte) (int, error) {
	t.listen(true)
	t.mu.Lock()
	t.sent = time.Now()
	t.mu.Unlock()
	return t.Conn.Write(p)
}

// listen begins another span of silence, without an end when nothing was asked.
func (t *tap) listen(asked bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked = asked
	t.extend()
}

// extend is called with the lock held. A connection that takes no deadline is closed, and says so when it is read.
func (t *tap) extend() {
	until := time.Time{}
	if t.asked {
		until = time.Now().Add(t.idle)
	}
	_ = t.SetReadDeadline(until)
}

// failure returns why the stream ended: the first error of server, connection or sink.
func (t *tap) failure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cause
}

func (t *tap) fail(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cause == nil {
		t.cause = err
	}
	return err
}

// next reads one whole message into the tap's buffer.
func (t *tap) next() ([]byte, error) {
	t.mu.Lock()
	t.extend()
	t.mu.Unlock()
	begun := time.Now()
	head, err := t.in.Peek(2)
	if err != nil {
		return nil, t.ended(err)
	}
	header := 2
	if head[1] >= 0x80 {
		header += int(head[1]) - 0x80
	}
	if head[0] != tagSequence || header == 2 && head[1] == 0x80 || header > 6 {
		return nil, fmt.Errorf("%w: it begins with %#x %#x: is this an LDAP server?", errBER, head[0], head[1])
	}
	if head, err = t.in.Peek(header); err != nil {
		return nil, t.ended(err)
	}
	length := int(head[1])
	if header > 2 {
		length = 0
		for _, b := range head[2:] {
			length = length<<8 | int(b)
		}
	}
	if length > maxMessage {
		return nil, fmt.Errorf("%w: a message of %d bytes", errBER, length)
	}
	if err := t.fill(header + length); err != nil {
		return nil, t.ended(err)
	}
	t.wait.Add(int64(time.Since(t.waitedFrom(begun))))
	t.bytes.Add(int64(len(t.buf)))
	return t.buf, nil
}

// waitedFrom leaves out the time before anything was asked.
func (t *tap) waitedFrom(begun time.Time) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sent.After(begun) {
		return t.sent
	}
	return begun
}

// fill reads n bytes into the buffer, which grows with what comes and not with what was promised.
func (t *tap) fill(n int) error {
	const step = 1 << 20
	t.buf = t.buf[:0]
	for len(t.buf) < n {
		have := len(t.buf)
		more := min(n-have, max(step, have))
		t.buf = slices.Grow(t.buf, more)[:have+more]
		if _, err := io.ReadFull(t.in, t.buf[have:]); err != nil {
			return err
		}
	}
	return nil
}

// ended says in words how the stream ended.
func (t *tap) ended(err error) error {
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("the server was silent for %s", t.idle)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the server closed the connection")
	default:
		return err
	}
}

// divert hands a search's entry or reference to the sink and returns what is left for go-ldap.
func (t *tap) divert(message []byte) ([]byte, error) {
	body, _, err := expect(message, tagSequence)
	if err != nil {
		return nil, err
	}
	_, body, err = expect(body, tagInteger)
	if err != nil {
		return nil, err
	}
	tag, content, controls, err := element(body)
	if err != nil {
		return nil, err
	}
	s := t.sink.Load()
	switch {
	case tag == tagSearchEntry && s != nil && s.stated != nil:
		return nil, s.stated(content, controls)
	case tag == tagIntermediate && s != nil && s.intermediate != nil:
		return nil, s.intermediate(content)
	case tag == tagSearchEntry && s != nil:
		return nil, s.entry(content)
	case tag == tagSearchReference && s != nil:
		return nil, s.reference(content)
	case tag == tagSearchDone, tag == tagBindResponse:
		t.listen(false)
	}
	return message, nil
}
