// Package show says what operators see of users, runs and plans, the same on a terminal and in a browser.
//
// It promises:
//
//   - The JSON of a plan or a run is one contract, whoever writes it.
//   - A PIN is counted and never shown.
//   - [Plain] leaves nothing in a text that does something to a terminal or turns the letters around it.
package show
