package policy

import (
	"fmt"

	"rollcall/pipeline/mapping"
)

// decodeChange reads the change that an origin keeps.
func decodeChange(data []byte) (*mapping.Change, error) {
	var c mapping.Change
	if err := mapping.DecodeChange(data, &c); err != nil {
		return nil, fmt.Errorf("decode change: %w", err)
	}
	return &c, nil
}

// encodeChange returns a change as an origin keeps it.
func encodeChange(c *mapping.Change) ([]byte, error) {
	data, err := mapping.EncodeChange(c)
	if err != nil {
		return nil, fmt.Errorf("encode change of %s: %w", c.Entry, err)
	}
	return data, nil
}
