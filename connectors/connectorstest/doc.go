// Package connectorstest is the conformance suite: every connector passes it, and what the
// contract of [connectors.Connector] promises is what it tests.
//
// A connector's own test says how to put people into its source and how to break the source; the
// suite does the rest:
//
//	func TestConformance(t *testing.T) {
//		connectorstest.Run(t, connectorstest.Harness{Open: …, Fill: …, Want: …})
//	}
//
// Every promise is one subtest named after it. [Missing] is what tests of real servers do where there is none.
//
// # Design
//
// A check returns the broken promise as an error instead of calling t.Fatal, so that the suite
// can be tested itself: each way of breaking the contract is caught by the check that is meant to
// catch it.
package connectorstest
