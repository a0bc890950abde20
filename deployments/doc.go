// Package deployments holds what operators deploy, and README.md, which says how. It has no code: its tests load, verify, build or
// parse every file, so that none of them says what the program does not know.
package deployments
