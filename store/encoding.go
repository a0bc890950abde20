package store

import (
	"encoding/binary"
	"math"

	"github.com/fxamacker/cbor/v2"
)

// Values rest in CBOR's core deterministic encoding (RFC 8949, 4.2.1), so that equal values are
// equal bytes. Times keep their nanoseconds and lose their zone; strings may hold any bytes, since
// a directory may.
var (
	encoding = must(encodingOptions().EncMode())
	decoding = must(cbor.DecOptions{
		UTF8:             cbor.UTF8DecodeInvalid,
		MaxArrayElements: math.MaxInt32,
		MaxMapPairs:      math.MaxInt32,
	}.DecMode())
)

func encodingOptions() cbor.EncOptions {
	o := cbor.CoreDetEncOptions()
	o.Time = cbor.TimeRFC3339NanoUTC
	return o
}

// must is for options that are constants: a wrong one fails the first test.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// number returns n as a key: big-endian, so that keys sort as numbers do.
func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// parseNumber reads what number wrote, 0 for anything else.
func parseNumber(key []byte) uint64 {
	if len(key) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(key)
}
