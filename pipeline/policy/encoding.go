package policy

import (
	"fmt"
	"math"

	"github.com/fxamacker/cbor/v2"
)

// Verdicts rest in CBOR's core deterministic encoding (RFC 8949, 4.2.1). Times keep their nanoseconds;
// strings may hold any bytes, since a directory may.
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

// EncodeVerdict returns a verdict's bytes, without its claims; equal verdicts have equal bytes.
func EncodeVerdict(v *Verdict) ([]byte, error) {
	stored := *v
	if v.created() {
		stored.Changed = nil
	}
	data, err := encoding.Marshal(&stored)
	if err != nil {
		return nil, fmt.Errorf("encode verdict of %s: %w", v.Entry, err)
	}
	return data, nil
}

// DecodeVerdict reads what [EncodeVerdict] wrote.
func DecodeVerdict(data []byte) (*Verdict, error) {
	var v Verdict
	if err := decoding.Unmarshal(data, &v); err != nil {
		return nil, fmt.Errorf("decode verdict: %w", err)
	}
	if v.created() {
		v.Changed = difference(nil, v.User)
	}
	return &v, nil
}

func (v *Verdict) created() bool { return v.Event == "created" && v.User != nil }
