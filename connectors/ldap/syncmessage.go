package ldap

import (
	"fmt"

	"github.com/go-ldap/ldap/v3"
)

// syncInfoOID names the intermediate response of a refresh (RFC 4533, 2.5).
const syncInfoOID = "1.3.6.1.4.1.4203.1.9.1.4"

// syncState is what a refresh says of one entry (RFC 4533, 2.3).
type syncState struct {
	state  ldap.ControlSyncStateState
	uuid   string // 16 bytes
	cookie string
}

// The kinds of sync information (RFC 4533, 2.5).
const (
	infoNewCookie      = 0x80
	infoRefreshDelete  = 0xa1
	infoRefreshPresent = 0xa2
	infoIDSet          = 0xa3
)

// syncInfo is what a refresh says between entries. flag is refreshDone or, of an id set, refreshDeletes.
type syncInfo struct {
	kind   byte
	cookie string
	flag   bool
	ids    []string // 16 bytes each
}

// parseSyncState reads the Sync State Control of an entry.
func parseSyncState(controls []byte) (s syncState, err error) {
	value, err := controlValue(controls, ldap.ControlTypeSyncState)
	if err != nil {
		return s, err
	}
	if value == "" {
		return s, fmt.Errorf("%w: an entry of a refresh without its state", errBER)
	}
	content, _, err := expect(value, tagSequence)
	if err != nil {
		return s, err
	}
	state, content, err := expect(content, tagEnumerated)
	if err != nil {
		return s, err
	}
	if len(state) != 1 || state[0] > byte(ldap.SyncStateDelete) {
		return s, fmt.Errorf("%w: sync state %q", errBER, state)
	}
	s.state = ldap.ControlSyncStateState(state[0])
	if s.uuid, content, err = expect(content, tagOctets); err != nil {
		return s, err
	}
	if len(s.uuid) != 16 {
		return s, fmt.Errorf("%w: an entryUUID of %d bytes", errBER, len(s.uuid))
	}
	if content != "" {
		s.cookie, _, err = expect(content, tagOctets)
	}
	return s, err
}

// parseSyncInfo reads the content of an intermediate response; ok is false for one that is no sync information.
func parseSyncInfo(content []byte) (info syncInfo, ok bool, err error) {
	const tagName, tagValue = 0x80, 0x81
	name, rest, err := expect(string(content), tagName)
	if err != nil || name != syncInfoOID {
		return info, false, nil
	}
	value, _, err := expect(rest, tagValue)
	if err != nil {
		return info, false, err
	}
	kind, body, _, err := element(value)
	if err != nil {
		return info, false, err
	}
	info.kind = kind
	switch kind {
	case infoNewCookie:
		info.cookie = body
		return info, true, nil
	case infoRefreshDelete, infoRefreshPresent:
		info.flag = true // refreshDone is TRUE by default, refreshDeletes FALSE
	case infoIDSet:
	default:
		return info, false, fmt.Errorf("%w: sync information %#x", errBER, kind)
	}
	err = info.members(body)
	return info, true, err
}

// members reads what is in the sequence. Each is optional, so that their tags tell them apart.
func (i *syncInfo) members(body string) error {
	for body != "" {
		tag, content, rest, err := element(body)
		if err != nil {
			return err
		}
		body = rest
		switch tag {
		case tagOctets:
			i.cookie = content
		case tagBoolean:
			i.flag = content != "\x00"
		case tagSet:
			if err := i.set(content); err != nil {
				return err
			}
		}
	}
	return nil
}

func (i *syncInfo) set(content string) error {
	for content != "" {
		id, rest, err := expect(content, tagOctets)
		if err != nil {
			return err
		}
		if len(id) != 16 {
			return fmt.Errorf("%w: an entryUUID of %d bytes", errBER, len(id))
		}
		i.ids, content = append(i.ids, id), rest
	}
	return nil
}
