package events

import "embed"

// Schemas are the JSON Schemas (draft 2020-12) of the bodies of events and of the lines of a snapshot: user-changed.schema.json,
// group-changed.schema.json and snapshot-line.schema.json.
//
//go:embed *.schema.json
var Schemas embed.FS
