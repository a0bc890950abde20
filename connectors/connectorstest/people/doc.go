// Package people makes up people: any number of them, realistic, and the same ones for the same seed.
//
// A person depends on the seed and the index alone, so person 90,000 is made without the
// 89,999 before. User names, mail addresses, employee numbers, external ids and cards are
// unique within a seed.
//
// # Design
//
// The numbers come from SplitMix64, spelled out here, and not from math/rand: what a test
// wrote into a golden file must not change with the Go release.
package people
