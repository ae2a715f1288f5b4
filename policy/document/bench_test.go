package document

import (
	"fmt"
	"testing"
)

func BenchmarkMerge(b *testing.B) {
	var sources []Source
	for i := range 10 {
		s := source(b, fmt.Sprint("p", i), i, "group:x", everything)
		s.Document.DeviceName = fmt.Sprint("{serial} ", i)
		sources = append(sources, s)
	}
	v := Variables{}
	for _, n := range VariableNames {
		v[n] = n
	}
	for b.Loop() {
		Merge(sources).Document.Resolve(v)
	}
}
