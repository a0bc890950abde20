package policy

import (
	"fmt"

	"rollcall/pipeline/mapping"
)

func decodeChange(data []byte) (*mapping.Change, error) {
	var c mapping.Change
	if err := decoding.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("decode change: %w", err)
	}
	return &c, nil
}

func encodeChange(c *mapping.Change) ([]byte, error) {
	data, err := encoding.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode change of %s: %w", c.Entry, err)
	}
	return data, nil
}
