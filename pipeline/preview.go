package pipeline

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"rollcall/connectors"
	"rollcall/pipeline/mapping"
	"rollcall/pipeline/policy"
	"rollcall/store"
)

// errEnough ends a preview.
var errEnough = errors.New("enough")

// Preview reads a source and calls fn for its first n records, raw and mapped, with the reason where one cannot be
// mapped. It writes nothing and needs no pipeline. Attributes that become PINs are masked.
func Preview(ctx context.Context, source Source, n int, log zerolog.Logger, fn func(connectors.Record, mapping.Change, error) error) error {
	m, err := mapping.Compile(source.Mapping)
	if err != nil {
		return err
	}
	reader, err := source.Reader.Open(connectors.Env{Source: source.Name, Attributes: m.Attributes(), Log: log})
	if err != nil {
		return err
	}
	left := n
	_, err = reader.Read(ctx, nil, func(r connectors.Record) error {
		if left == 0 {
			return errEnough
		}
		left--
		change, mapErr := m.Apply(&r)
		if r.Problem != "" {
			mapErr = errors.New(r.Problem)
		}
		mask(&r, m.Secrets())
		maskPINs(&change, source.Options.PINs.MinimumLength)
		return fn(r, change, mapErr)
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

func mask(r *connectors.Record, secrets []string) {
	for i, a := range r.Attributes {
		if slices.ContainsFunc(secrets, func(name string) bool { return strings.EqualFold(name, a.Name) }) {
			hidden := make([]string, len(a.Values))
			for j := range hidden {
				hidden[j] = mapping.MaskSecret(a.Values[j])
			}
			r.Attributes[i].Values = hidden
		}
	}
}

// maskPINs hides a change's PINs, and leaves those out with a warning that a run would leave out (P1, P3).
func maskPINs(c *mapping.Change, minimum int) {
	list := &c.List[store.PINs.List()]
	kept := (*list)[:0]
	for _, pin := range *list {
		masked := mapping.MaskSecret(pin)
		if err := policy.CheckPIN(pin, minimum); err != nil && !strings.HasPrefix(pin, carriedPIN) {
			c.Warnings = append(c.Warnings, mapping.Warning{Property: store.PINs.String(), Value: masked, Reason: err.Error() + "; left out"})
			continue
		}
		kept = append(kept, masked)
	}
	*list = kept
}
