package enroll

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of codes into docs/gate.md")

// TestDocumentedCodes compares the documentation with the table it is made
// from.
func TestDocumentedCodes(t *testing.T) {
	const page, begin, end = "../docs/gate.md", "-update -->\n", "<!-- end of codes -->"
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(raw), begin)
	_, tail, found := strings.Cut(rest, end)
	if !ok || !found {
		t.Fatalf("%s has no place for the codes", page)
	}
	var table strings.Builder
	table.WriteString("| code | what it means | what to do | what the person reads |\n|---|---|---|---|\n")
	for _, r := range Reasons {
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", r.Code, r.Admin, r.Fix, r.Person)
	}
	want := head + begin + table.String() + end + tail
	if want == string(raw) {
		return
	}
	if !*update {
		t.Fatalf("%s differs from enroll.Reasons; run go test ./enroll -run TestDocumentedCodes -update", page)
	}
	if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}
