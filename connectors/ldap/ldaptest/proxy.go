package ldaptest

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// Proxy is a bad network in front of a server.
type Proxy struct {
	URL string

	t     testing.TB
	to    string
	mu    sync.Mutex
	all   map[net.Conn]struct{}
	reset int           // bytes of answers after which a connection is reset, 0 for never
	stall chan struct{} // closed when it goes on, nil when it does
	away  bool
}

// StartProxy starts a proxy to a server's address, which ends with the test.
func StartProxy(t testing.TB, url string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{URL: "ldap://" + l.Addr().String(), t: t, to: strings.TrimPrefix(url, "ldap://"), all: map[net.Conn]struct{}{}}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.forward(c) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); p.Away(); p.Resume(); running.Wait() })
	return p
}

// ResetEvery resets every connection behind so many bytes of answers, 0 for never.
func (p *Proxy) ResetEvery(bytes int) { p.mu.Lock(); defer p.mu.Unlock(); p.reset = bytes }

// Stall stops forwarding answers and keeps the connections.
func (p *Proxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stall == nil {
		p.stall = make(chan struct{})
	}
}

// Resume forwards again, what was kept first.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stall != nil {
		close(p.stall)
	}
	p.stall = nil
}

// Away ends all connections and takes no others.
func (p *Proxy) Away() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = true
	for c := range p.all {
		_ = c.Close()
	}
}

// forward passes one connection on.
func (p *Proxy) forward(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer server.Close()
	if !p.keep(client, server) {
		return
	}
	go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
	p.answers(client, server)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, client)
	delete(p.all, server)
}

func (p *Proxy) keep(both ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range both {
		p.all[c] = struct{}{}
	}
	return !p.away
}

// answers forwards what the server says until the connection is to be reset.
func (p *Proxy) answers(client, server net.Conn) {
	buffer := make([]byte, 512)
	for sent := 0; ; {
		n, err := server.Read(buffer)
		if err != nil {
			return
		}
		p.mu.Lock()
		stall, reset := p.stall, p.reset
		p.mu.Unlock()
		if stall != nil {
			<-stall
		}
		if reset > 0 && sent+n >= reset {
			_, _ = client.Write(buffer[:max(0, reset-sent)])
			_ = client.(*net.TCPConn).SetLinger(0)
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
		sent += n
	}
}
