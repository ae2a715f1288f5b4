package document

import (
	"encoding/json"
	"testing"
)

// FuzzDocument: whatever can be sent as a document, nothing that is done with
// it fails, and what is accepted stays the same under its own rules.
func FuzzDocument(f *testing.F) {
	for _, s := range []string{everything, rawSecrets, `{}`, `{"wifi":[{"security":"eap"}],"web_filter":{},"home_screen":{"dock":[{}]},"single_app":{},"apple":{},"android":{}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var d Document
		if json.Unmarshal(b, &d) != nil {
			return
		}
		d.Warnings()
		sent := d.Redacted().WithKept(d)
		if err := d.Check(); err != nil {
			return
		}
		if err := sent.Check(); err != nil {
			t.Errorf("a document that was read and sent back is refused: %v", err)
		}
		e := Merge([]Source{{PolicyID: "a", Document: d}, {PolicyID: "b", Document: d}})
		if len(e.Conflicts) > 0 {
			t.Errorf("a document is in conflict with itself: %v", e.Conflicts)
		}
		if _, missing := e.Document.Resolve(nil); missing == nil {
			e.Document.Resolve(Variables{"serial": "S1"})
		}
	})
}
