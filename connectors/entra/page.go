package entra

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// page walks through an answer's objects. Its decoder is used again for every page.
type page struct {
	decoder *jsontext.Decoder
	body    []byte
	next    string
	delta   string
	objects int
}

func newPage() *page { return &page{decoder: jsontext.NewDecoder(bytes.NewReader(nil))} }

// walk calls object for every object of the answer's "value", with the decoder before it, and keeps the links.
// object must read exactly one value.
func (p *page) walk(body []byte, object func(*page) error) error {
	p.load(body)
	seen := false
	err := p.members(func(name []byte) error {
		switch string(name) {
		case `"value"`:
			seen = true
			return p.elements(func() error { p.objects++; return object(p) })
		case `"@odata.nextLink"`:
			return p.link(&p.next)
		case `"@odata.deltaLink"`:
			return p.link(&p.delta)
		}
		return p.decoder.SkipValue()
	})
	if err == nil && !seen {
		err = errors.New("the answer has no value")
	}
	if err != nil {
		return err
	}
	if rest := bytes.TrimSpace(p.body[p.decoder.InputOffset():]); len(rest) > 0 {
		return errors.New("the answer goes on after its end")
	}
	return nil
}

// load puts the decoder at the beginning of a body.
func (p *page) load(body []byte) {
	p.body, p.next, p.delta, p.objects = body, "", "", 0
	p.decoder.Reset(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// members calls f for every name of the object that follows; f reads the value.
func (p *page) members(f func(name []byte) error) error {
	if err := p.expect('{'); err != nil {
		return err
	}
	for p.decoder.PeekKind() != '}' {
		name, err := p.decoder.ReadValue()
		if err != nil {
			return err
		}
		if err := f(name); err != nil {
			return err
		}
	}
	_, err := p.decoder.ReadToken()
	return err
}

// elements calls f before every element of the array that follows; f reads it. null is an empty array.
func (p *page) elements(f func() error) error {
	if p.decoder.PeekKind() == 'n' {
		return p.decoder.SkipValue()
	}
	if err := p.expect('['); err != nil {
		return err
	}
	for p.decoder.PeekKind() != ']' {
		if err := f(); err != nil {
			return err
		}
	}
	_, err := p.decoder.ReadToken()
	return err
}

func (p *page) expect(kind jsontext.Kind) error {
	t, err := p.decoder.ReadToken()
	if err == nil && t.Kind() != kind {
		err = fmt.Errorf("%v instead of %v", t.Kind(), kind)
	}
	return err
}

func (p *page) link(to *string) error {
	if p.decoder.PeekKind() == 'n' {
		return p.decoder.SkipValue()
	}
	s, err := p.text()
	*to = s
	return err
}

// text reads a string.
func (p *page) text() (string, error) {
	v, err := p.decoder.ReadValue()
	if err != nil {
		return "", err
	}
	if v.Kind() != '"' {
		return "", fmt.Errorf("%v instead of a string", v.Kind())
	}
	return unquote(v), nil
}

// unquote decodes a JSON string; bytes that are no UTF-8 become the replacement character.
func unquote(v []byte) string {
	b, _ := jsontext.AppendUnquote(nil, v)
	return string(b)
}
