package show

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"

	"rollcall/pipeline"
)

// Line writes v as one line of JSON.
func Line(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// Plan writes a run with its changes as one line of JSON, however many they are: the held run of a source for number 0.
func Plan(ctx context.Context, w io.Writer, client *pipeline.Client, source string, number uint64) error {
	out := bufio.NewWriter(w)
	out.WriteString(`{"changes":[`)
	separator := ""
	run, err := client.Plan(ctx, source, number, func(e pipeline.PlanEntry) error {
		out.WriteString(separator)
		separator = ","
		return compact(out, e)
	})
	if err != nil {
		return err
	}
	out.WriteString("],")
	rest, err := json.Marshal(run)
	if err != nil {
		return err
	}
	out.Write(rest[1:])
	out.WriteString("\n")
	return out.Flush()
}

func compact(w *bufio.Writer, v any) error {
	var b bytes.Buffer
	if err := Line(&b, v); err != nil {
		return err
	}
	_, err := w.Write(bytes.TrimSpace(b.Bytes()))
	return err
}
