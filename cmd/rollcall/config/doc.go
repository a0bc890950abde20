// Package config reads rollcall.yaml and composes from it what the pipeline needs. Nothing else in
// Rollcall reads a configuration file or the environment.
//
// It is strict: unknown keys, wrong types, missing and impossible values are mistakes, all of them are
// reported at once, each with its line, its column and what would be right. A configuration with
// a mistake yields nothing.
//
// # Values
//
// ${NAME} is replaced by the environment's value, in values only and after the document was parsed, so that no value can
// bring in keys; $${NAME} is the text itself, an unset variable is a mistake. Relative
// paths start from the folder of the configuration file, wherever the program was started. A key that ends in _file
// names a secret (but ca_file and cert_file): a file that everybody may read is refused.
//
// # Design
//
// The decoder is our own, over goccy's syntax tree: goccy's stops at the first mistake and does not know
// that two structs share one mapping (a source is what every source has plus what its kind has).
// The kinds are a plain map from name to constructor; nothing registers itself.
package config
