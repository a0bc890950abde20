// Package graphmodels compares the entra connector with the SDK's own generated builders and models, which
// nothing else here imports: compiling them takes minutes and 5 GiB.
//
//	go test -tags graphmodels -vet=off ./connectors/entra/graphmodels
//
// What came of it last stands in the doc.go of package entra.
package graphmodels
