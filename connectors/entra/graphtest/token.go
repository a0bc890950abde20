package graphtest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"
)

// place is what a link's token says: which round this is and how far it has come.
type place struct {
	Kind   string   `json:"k"`           // users or groups
	Select []string `json:"s,omitempty"` // published spelling; nil is the default selection
	IDs    []string `json:"i,omitempty"` // of a $filter
	From   uint64   `json:"f,omitempty"` // changes up to here are known; 0 is a first round
	Upto   uint64   `json:"u"`           // the round began here: the next one starts from it
	Next   uint64   `json:"n,omitempty"` // the first object (first round) or change (later ones) of the page
	Member int      `json:"m,omitempty"` // the first member of the next entry of a large group
	Page   int      `json:"p,omitempty"`
	Issued int64    `json:"t"`
	Epoch  int      `json:"e,omitempty"`
	Delta  bool     `json:"d,omitempty"` // a deltaLink's: the next request begins a round
}

func (p place) issued() time.Time { return time.Unix(p.Issued, 0) }

// sealer makes tokens that nobody else can read.
type sealer struct{ aead cipher.AEAD }

func newSealer() sealer {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	block, _ := aes.NewCipher(key)
	aead, _ := cipher.NewGCM(block)
	return sealer{aead}
}

func (s sealer) seal(p place) string {
	plain, _ := json.Marshal(p)
	nonce := make([]byte, s.aead.NonceSize())
	_, _ = rand.Read(nonce)
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nonce, nonce, plain, nil))
}

func (s sealer) open(token string) (place, error) {
	var p place
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) < s.aead.NonceSize() {
		return p, errors.New("not a token")
	}
	n := s.aead.NonceSize()
	plain, err := s.aead.Open(nil, raw[:n], raw[n:], nil)
	if err != nil {
		return p, err
	}
	err = json.Unmarshal(plain, &p)
	return p, err
}
