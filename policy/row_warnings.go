package policy

import (
	"fmt"
	"slices"
	"strings"

	"rollcall/enroll"
	"rollcall/policy/document"
)

// VariablesKnown has a value for every variable: for what is to be said of
// policies whatever the device.
var VariablesKnown = func() document.Variables {
	v := document.Variables{}
	for _, name := range document.VariableNames {
		v[name] = name
	}
	return v
}()

// RowWarner tells of the rows of an import what their devices will not honour
// of the policies that they name, and of those of the groups that they name.
// What is equal for several rows is compiled once. It is used from one
// goroutine.
type RowWarner struct {
	policies map[string]Policy
	groups   map[string][]Policy
	planner  *Planner
	known    map[rowKind]rowWarnings
}

// rowKind is what the warnings of a row depend on.
type rowKind struct {
	policies, groups string
	target           document.Target // without supervision
	supervised       string
}

type rowWarnings struct {
	warnings enroll.RowErrors // without lines
	missing  []document.Missing
}

// NewRowWarner makes a RowWarner of the policies, and of those bound to groups,
// by name.
func NewRowWarner(policies map[string]Policy, groups map[string][]Policy) *RowWarner {
	return &RowWarner{policies: policies, groups: groups, planner: NewPlanner(), known: map[rowKind]rowWarnings{}}
}

// Warnings are those of a row; d is the device as it is to be. One warning says
// all of a kind. Before the user has accepted, they come from what the file
// says, and not from what is known. owner is nil where the owner is not known
// to the plan.
func (w *RowWarner) Warnings(row enroll.ImportRow, d enroll.Device, owner *Person) enroll.RowErrors {
	if len(row.Policies) == 0 && len(row.Groups) == 0 {
		return nil
	}
	if !d.Accepted() {
		d.Facts = enroll.Facts{Model: row.Model}
	}
	t := TargetOf(d, false)
	if t.Platform == enroll.PlatformAndroid && t.Management == "" && d.Ownership == enroll.OwnershipPersonal {
		t.Management = document.PersonalWorkProfile // there is no other way
	}
	kind := rowKind{policies: strings.Join(row.Policies, "|"), groups: strings.Join(row.Groups, "|"), target: t}
	if t.Supervised != nil {
		kind.target.Supervised, kind.supervised = nil, fmt.Sprint(*t.Supervised)
	}
	found, known := w.known[kind]
	if !known {
		found = w.compile(row, t)
		w.known[kind] = found
	}
	out := slices.Clone(found.warnings)
	if owner != nil {
		has := VariablesOf(d, *owner, "")
		for _, m := range found.missing {
			if has[m.Variable] == "" {
				out = append(out, enroll.RowError{Column: variableColumns[m.Variable], Code: codeMissing, Detail: fmt.Sprintf("%s: the row has no value for {%s}, so this part is not sent", m.Pointer, m.Variable)})
			}
		}
	}
	for i := range out {
		out[i].Line = row.Line
	}
	return out
}

// variableColumns are the columns of a file for variables that a device never
// tells by itself.
var variableColumns = map[string]string{"user.name": "name", "user.email": "email", "user.local_part": "email", "user.mobile": "mobile", "device.asset_tag": "asset_tag"}

func (w *RowWarner) compile(row enroll.ImportRow, t document.Target) (out rowWarnings) {
	var bound []Bound
	add := func(p Policy, via string) {
		if !slices.ContainsFunc(bound, func(b Bound) bool { return b.ID == p.ID }) {
			bound = append(bound, Bound{p, via})
		}
	}
	for _, name := range row.Policies {
		if p, ok := w.policies[name]; ok {
			add(p, "device")
		}
	}
	for _, group := range row.Groups {
		for _, p := range w.groups[group] {
			add(p, "group:"+group)
		}
	}
	if len(bound) == 0 {
		return out
	}
	desire := w.planner.Desire(bound, t, VariablesKnown, "")
	kinds := map[string][]Note{}
	var codes []string // in the order of the notes
	for _, n := range desire.Notes {
		if n.State != NoteUnsupported {
			continue
		}
		if kinds[n.Code] == nil {
			codes = append(codes, n.Code)
		}
		kinds[n.Code] = append(kinds[n.Code], n)
	}
	for _, code := range codes {
		out.warnings = append(out.warnings, rowWarning(kinds[code]))
	}
	_, missing := desire.Effective.Document.Resolve(nil)
	for _, m := range missing {
		if variableColumns[m.Variable] != "" {
			out.missing = append(out.missing, m)
		}
	}
	return out
}

// namedPlaces is how many places a warning names.
const namedPlaces = 5

// rowWarning makes one warning of all notes of a kind.
func rowWarning(notes []Note) enroll.RowError {
	e := enroll.RowError{Column: "group", Code: notes[0].Code, Detail: notes[0].Pointer + ": " + notes[0].Text}
	var places, policies []string
	for i, n := range notes {
		for _, from := range n.Policies {
			if from.Via == "device" {
				e.Column = "policy"
			}
			if !slices.Contains(policies, from.Policy) {
				policies = append(policies, from.Policy)
			}
		}
		if i > 0 && i < namedPlaces {
			places = append(places, n.Pointer)
		}
	}
	e.Value = strings.Join(policies, "|")
	if len(places) > 0 {
		e.Detail += " Likewise " + strings.Join(places, ", ")
		if more := len(notes) - namedPlaces; more > 0 {
			e.Detail += fmt.Sprintf(" and %d more", more)
		}
		e.Detail += "."
	}
	return e
}
