package ldap

import (
	"errors"
	"fmt"
)

// The tags that an LDAP message is cut by (RFC 4511, 4.1.1 and 4.5.2).
const (
	tagSequence        = 0x30
	tagSet             = 0x31
	tagInteger         = 0x02
	tagOctets          = 0x04
	tagBindResponse    = 0x61
	tagSearchEntry     = 0x64
	tagSearchDone      = 0x65
	tagSearchReference = 0x73
	tagIntermediate    = 0x79
	tagBoolean         = 0x01
	tagEnumerated      = 0x0a
	tagControls        = 0xa0
)

var errBER = errors.New("malformed LDAP message")

// element splits the first BER element off data. Lengths may take up to four bytes, in any form but the
// indefinite one (RFC 4511, 5.1).
func element[T string | []byte](data T) (tag byte, content, rest T, err error) {
	if len(data) < 2 {
		return 0, content, rest, fmt.Errorf("%w: ends in a header", errBER)
	}
	length, header := int(data[1]), 2
	if length >= 0x80 {
		n := length - 0x80
		if n == 0 || n > 4 || len(data) < 2+n {
			return 0, content, rest, fmt.Errorf("%w: length in %d bytes", errBER, n)
		}
		length = 0
		for i := range n {
			length = length<<8 | int(data[2+i])
		}
		header += n
	}
	if length < 0 || length > len(data)-header {
		return 0, content, rest, fmt.Errorf("%w: element longer than its message", errBER)
	}
	return data[0], data[header : header+length], data[header+length:], nil
}

// expect is element with the tag that must come.
func expect[T string | []byte](data T, tag byte) (content, rest T, err error) {
	got, content, rest, err := element(data)
	if err == nil && got != tag {
		err = fmt.Errorf("%w: tag %#x where %#x belongs", errBER, got, tag)
	}
	return content, rest, err
}

// parseEntry walks through a SearchResultEntry: the entry's DN, then every attribute's name with its values, an
// element after the other.
func parseEntry(content string, attribute func(name, values string) error) (dn string, err error) {
	dn, rest, err := expect(content, tagOctets)
	if err != nil {
		return "", err
	}
	list, _, err := expect(rest, tagSequence)
	for err == nil && list != "" {
		var one, name, values string
		if one, list, err = expect(list, tagSequence); err != nil {
			break
		}
		if name, one, err = expect(one, tagOctets); err != nil {
			break
		}
		if values, _, err = expect(one, tagSet); err != nil {
			break
		}
		err = attribute(name, values)
	}
	return dn, err
}

// controlValue finds a control behind a message's operation and returns its value, "" when it is not there.
func controlValue(controls []byte, oid string) (string, error) {
	if len(controls) == 0 {
		return "", nil
	}
	list, _, err := expect(controls, tagControls)
	for err == nil && len(list) > 0 {
		var one, name []byte
		if one, list, err = expect(list, tagSequence); err != nil {
			break
		}
		if name, one, err = expect(one, tagOctets); err != nil || string(name) != oid {
			continue
		}
		if len(one) > 0 && one[0] == tagBoolean {
			if _, one, err = expect(one, tagBoolean); err != nil {
				break
			}
		}
		var value []byte
		value, _, err = expect(one, tagOctets)
		return string(value), err
	}
	return "", err
}
