package document

import (
	"os"
	"testing"
)

// everything is a document that uses each field (but for the lists that exclude
// each other); it stands beside the golden files of the compilers.
var everything = func() string {
	b, err := os.ReadFile("../../testdata/policy/everything.json")
	if err != nil {
		panic(err)
	}
	return string(b)
}()

func TestEverythingIsValid(t *testing.T) {
	d := parse(t, everything)
	if err := d.Check(); err != nil {
		t.Fatal(err)
	}
	if w := d.Warnings(); len(w) != 1 || w[0].Pointer != "/wifi/0/security" {
		t.Errorf("warnings %v, want one of the open network", w)
	}
}
