package console

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

const (
	cookieName = "rollcall_console"
	// sessionTime is how long a session lasts.
	sessionTime = 12 * time.Hour
)

// seal returns a session's cookie: the name, when it ends, and a signature of both.
func (h *holder) seal(end time.Time) string {
	told := base64.RawURLEncoding.EncodeToString([]byte(h.name)) + "." + strconv.FormatInt(end.Unix(), 10)
	return told + "." + h.sign(told)
}

func (h *holder) sign(text string) string {
	mac := hmac.New(sha256.New, h.session)
	mac.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// unseal returns whose session a cookie is, nil for nobody's.
func (t tokens) unseal(value string, now time.Time) *holder {
	at := strings.LastIndexByte(value, '.')
	if at < 0 {
		return nil
	}
	told, signature := value[:at], value[at+1:]
	encoded, end, _ := strings.Cut(told, ".")
	name, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return nil
	}
	h := t.named(string(name))
	if h == nil || !hmac.Equal([]byte(h.sign(told)), []byte(signature)) {
		return nil
	}
	if seconds, err := strconv.ParseInt(end, 10, 64); err != nil || now.Unix() >= seconds {
		return nil
	}
	return h
}

// begin gives the browser a session.
func begin(w http.ResponseWriter, r *http.Request, h *holder) {
	http.SetCookie(w, cookie(r, h.seal(time.Now().Add(sessionTime)), int(sessionTime.Seconds())))
}

// end takes the browser's session away.
func end(w http.ResponseWriter, r *http.Request) { http.SetCookie(w, cookie(r, "", -1)) }

func cookie(r *http.Request, value string, age int) *http.Cookie {
	encrypted := r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" // who lies about it only hurts himself
	return &http.Cookie{Name: cookieName, Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: encrypted, SameSite: http.SameSiteStrictMode}
}

// who returns who asks, by the token that he sends along or by his session: nil and no problem for somebody who says nothing.
func (s *site) who(r *http.Request) (*holder, *problem) {
	if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
		return s.present(r, strings.TrimSpace(token))
	}
	if c, err := r.Cookie(cookieName); err == nil {
		return s.tokens.unseal(c.Value, time.Now()), nil
	}
	return nil, nil
}

// present returns whose token it is. Five wrong ones lock an address for 15 minutes, for right ones too.
func (s *site) present(r *http.Request, token string) (*holder, *problem) {
	from, now := address(r), time.Now()
	if until := s.lockout.Until(from, now); !until.IsZero() {
		return nil, &problem{Status: http.StatusTooManyRequests, Text: "too many wrong tokens came from this address; it is locked until " + until.Format("15:04:05"),
			Try: "the right one, later", until: until}
	}
	h := s.tokens.of(token)
	if h == nil {
		s.lockout.Fail(from, now)
		s.log.Warn().Str("from", from).Msg("console: wrong token")
		return nil, &problem{Status: http.StatusUnauthorized, Text: "this is nobody's token", Try: "one from the file that console.token_file names, or console.token in the data directory"}
	}
	return h, nil
}

// address is where a request comes from. Of an IPv6 network that one customer has, it is the same for all addresses.
func address(r *http.Request) string {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	ip := at.Addr().Unmap()
	if ip.Is6() {
		network, _ := ip.WithZone("").Prefix(64)
		return network.String()
	}
	return ip.String()
}
