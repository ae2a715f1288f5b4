package apple

import "rollcall/policy/document"

// Compile says what d becomes on t, and what t will not honour. d is what
// document.Resolve gave.
func Compile(d document.Document, t document.Target) (Plan, []document.Note) {
	return Plan{}, nil
}
