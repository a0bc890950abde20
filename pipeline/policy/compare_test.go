package policy

import (
	"reflect"

	"github.com/google/go-cmp/cmp"
)

// ignoreBlank leaves out the blank fields that mark structs as CBOR arrays.
var ignoreBlank = cmp.FilterPath(func(p cmp.Path) bool {
	field, ok := p.Last().(cmp.StructField)
	return ok && field.Name() == "_"
}, cmp.Comparer(func(a, b struct{}) bool { return reflect.DeepEqual(a, b) }))
