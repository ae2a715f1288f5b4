package policy

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"rollcall/policy/document"
)

// Difference is a place where two documents are not the same. A side that has
// nothing there is nil; a secret is document.Kept on both sides.
type Difference struct {
	Pointer  string // JSON pointer (RFC 6901)
	From, To any
}

// Compare lists where two documents differ, in the order of the pointers.
func Compare(from, to document.Document) []Difference {
	var out []Difference
	compare(&out, "", sides{tree(from), tree(to), tree(from.Redacted()), tree(to.Redacted())})
	return out
}

// tree is a document as JSON decodes it.
func tree(d document.Document) any {
	b, err := json.Marshal(d)
	if err != nil {
		panic(fmt.Sprintf("policy: a stored document has no JSON: %v", err))
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		panic(fmt.Sprintf("policy: a document's own JSON: %v", err))
	}
	return v
}

// sides are the values at one place: what is compared, and what may be shown.
type sides struct{ from, to, showFrom, showTo any }

func compare(out *[]Difference, pointer string, s sides) {
	if reflect.DeepEqual(s.from, s.to) {
		return
	}
	fromDict, isFrom := s.from.(map[string]any)
	toDict, isTo := s.to.(map[string]any)
	if isFrom && isTo {
		keys := maps.Clone(fromDict)
		maps.Copy(keys, toDict)
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			showFrom, _ := s.showFrom.(map[string]any)
			showTo, _ := s.showTo.(map[string]any)
			compare(out, pointer+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(k), sides{fromDict[k], toDict[k], showFrom[k], showTo[k]})
		}
		return
	}
	fromList, isFrom := s.from.([]any)
	toList, isTo := s.to.([]any)
	if isFrom && isTo {
		showFrom, _ := s.showFrom.([]any)
		showTo, _ := s.showTo.([]any)
		for i := range max(len(fromList), len(toList)) {
			compare(out, pointer+"/"+strconv.Itoa(i), sides{at(fromList, i), at(toList, i), at(showFrom, i), at(showTo, i)})
		}
		return
	}
	*out = append(*out, Difference{Pointer: pointer, From: s.showFrom, To: s.showTo})
}

func at(list []any, i int) any {
	if i < len(list) {
		return list[i]
	}
	return nil
}
