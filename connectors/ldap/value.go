package ldap

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// syntax is how an attribute's value becomes text (L8).
type syntax uint8

const (
	plain       syntax = iota // UTF-8 as it is, other bytes in base64
	guidMixed                 // objectGUID: the first three groups are little-endian
	guidPlain                 // eDirectory's GUID, in the order of its bytes
	sid                       // objectSid
	fileTime                  // 100 ns since 1601
	generalTime               // RFC 4517, 3.3.13
)

// syntaxes are the attributes whose values are not text.
var syntaxes = map[string]syntax{
	"objectguid": guidMixed, "ms-ds-consistencyguid": guidMixed, "guid": guidPlain, "objectsid": sid, "securityidentifier": sid,
	"accountexpires": fileTime, "lastlogon": fileTime, "lastlogontimestamp": fileTime, "pwdlastset": fileTime,
	"badpasswordtime": fileTime, "lockouttime": fileTime, "lastlogoff": fileTime, "msds-userpasswordexpirytimecomputed": fileTime,
	"sidhistory": sid, "tokengroups": sid, "msexchmailboxguid": guidMixed,
	"whencreated": generalTime, "whenchanged": generalTime, "createtimestamp": generalTime, "modifytimestamp": generalTime,
	"pwdchangedtime": generalTime, "loginexpirationtime": generalTime, "logintime": generalTime, "passwordexpirationtime": generalTime, "krbpasswordexpiration": generalTime, "krbprincipalexpiration": generalTime, "krblastpwdchange": generalTime,
}

// text returns a value as text.
func (s syntax) text(value string) string {
	switch s {
	case guidMixed, guidPlain:
		if len(value) == 16 {
			return formatGUID(value, s == guidMixed)
		}
	case sid:
		if t, ok := formatSID(value); ok {
			return t
		}
	case fileTime:
		value = formatFileTime(value)
	case generalTime:
		value = formatGeneralTime(value)
	}
	if utf8.ValidString(value) {
		return value
	}
	return base64.StdEncoding.EncodeToString([]byte(value))
}

// bytes returns the values that text may have been made of, for a filter; none when there is no such value.
func (s syntax) bytes(text string) []string {
	switch s {
	case guidMixed, guidPlain:
		raw, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
		if err != nil || len(raw) != 16 {
			return nil
		}
		if s == guidMixed {
			swapGUID(raw)
		}
		return []string{string(raw)}
	case sid:
		return parseSID(text)
	}
	if raw, err := base64.StdEncoding.DecodeString(text); err == nil && !utf8.Valid(raw) {
		return []string{text, string(raw)}
	}
	return []string{text}
}

func formatGUID(value string, mixed bool) string {
	raw := []byte(value)
	if mixed {
		swapGUID(raw)
	}
	text := make([]byte, 36)
	hex.Encode(text[0:8], raw[0:4])
	hex.Encode(text[9:13], raw[4:6])
	hex.Encode(text[14:18], raw[6:8])
	hex.Encode(text[19:23], raw[8:10])
	hex.Encode(text[24:36], raw[10:16])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text)
}

// swapGUID turns the first three groups of a GUID around (MS-DTYP 2.3.4.2).
func swapGUID(b []byte) {
	b[0], b[1], b[2], b[3] = b[3], b[2], b[1], b[0]
	b[4], b[5] = b[5], b[4]
	b[6], b[7] = b[7], b[6]
}

// formatSID writes a security identifier as "S-1-5-21-…" (MS-DTYP 2.4.2).
func formatSID(value string) (string, bool) {
	if len(value) < 8 || len(value) != 8+4*int(value[1]) {
		return "", false
	}
	var authority uint64
	for i := 2; i < 8; i++ {
		authority = authority<<8 | uint64(value[i])
	}
	text := fmt.Appendf(nil, "S-%d-%d", value[0], authority)
	for i := 8; i < len(value); i += 4 {
		text = append(text, '-')
		text = strconv.AppendUint(text, uint64(binary.LittleEndian.Uint32([]byte(value[i:i+4]))), 10)
	}
	return string(text), true
}

// parseSID is formatSID's other direction.
func parseSID(text string) []string {
	var parts []uint64
	for part := range strings.SplitSeq(strings.TrimPrefix(text, "S-"), "-") {
		n, err := strconv.ParseUint(part, 10, 48)
		if err != nil {
			return nil
		}
		parts = append(parts, n)
	}
	if len(parts) < 2 || len(parts) > 2+255 || parts[0] > 255 {
		return nil
	}
	raw := binary.BigEndian.AppendUint64(nil, parts[1])
	raw[0], raw[1] = byte(parts[0]), byte(len(parts)-2)
	for _, n := range parts[2:] {
		if n > math.MaxUint32 {
			return nil
		}
		raw = binary.LittleEndian.AppendUint32(raw, uint32(n))
	}
	return []string{string(raw)}
}

// never is the text of a point in time that does not come.
const never = "never"

// formatFileTime writes a FILETIME (MS-DTYP 2.3.3) as RFC 3339. 0 and the largest number mean never.
func formatFileTime(value string) string {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return value
	}
	if n <= 0 || n == 1<<63-1 {
		return never
	}
	const unixEpoch = 11644473600 // seconds from 1601 to 1970
	return time.Unix(n/1e7-unixEpoch, n%1e7*100).UTC().Format(time.RFC3339Nano)
}

// generalTimes are the forms of a generalized time that directories use.
var generalTimes = []string{"20060102150405Z0700", "20060102150405.999999999Z0700", "200601021504Z0700", "2006010215Z0700",
	"20060102150405Z07", "200601021504Z07", "2006010215Z07"}

// formatGeneralTime writes a generalized time (RFC 4517, 3.3.13) as RFC 3339.
func formatGeneralTime(value string) string {
	for _, layout := range generalTimes {
		if t, err := time.Parse(layout, strings.Replace(value, ",", ".", 1)); err == nil {
			return t.UTC().Format(time.RFC3339Nano)
		}
	}
	return value
}
