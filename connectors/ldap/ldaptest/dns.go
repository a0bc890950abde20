package ldaptest

import (
	"net"
	"testing"

	"github.com/miekg/dns"
)

// StartDNS starts a DNS server that knows these records in the form of a zone file ("host.example. 60 IN A 127.0.0.1") and nothing else. It
// ends with the test; its address is returned.
func StartDNS(t testing.TB, records ...string) string {
	t.Helper()
	var known []dns.RR
	for _, text := range records {
		r, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		known = append(known, r)
	}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	s := &dns.Server{PacketConn: conn, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, asked *dns.Msg) {
		_ = w.WriteMsg(answerOf(known, asked))
	})}
	done := make(chan struct{})
	go func() { _ = s.ActivateAndServe(); close(done) }()
	<-started
	t.Cleanup(func() { _ = s.Shutdown(); <-done })
	return conn.LocalAddr().String()
}

func answerOf(known []dns.RR, asked *dns.Msg) *dns.Msg {
	answer := new(dns.Msg).SetReply(asked)
	answer.Rcode = dns.RcodeNameError
	for _, r := range known {
		if h := r.Header(); dns.CanonicalName(h.Name) == dns.CanonicalName(asked.Question[0].Name) {
			answer.Rcode = dns.RcodeSuccess
			if h.Rrtype == asked.Question[0].Qtype {
				answer.Answer = append(answer.Answer, r)
			}
		}
	}
	return answer
}
