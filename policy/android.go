package policy

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"rollcall/enroll"
	"rollcall/policy/android"
	"rollcall/policy/document"
)

// Protocol is what an enrolled device speaks.
type Protocol string

// The protocols.
const (
	ProtocolApple Protocol = "apple" // MDM
	ProtocolAgent Protocol = "agent" // docs/android-agent.md
	ProtocolAMAPI Protocol = "amapi" // the Android Management API
)

// The names among enroll.Facts.Extra under which the protocols of Android note
// what a policy depends on: the API level in decimal, and a
// document.Management.
const (
	APILevelFact   = "api_level"
	ManagementFact = "management"
)

// The steps of Android. Each carries the whole policy.
type (
	// SetAgentPolicy is a step of the agent protocol.
	SetAgentPolicy struct {
		Policy android.AgentPolicy
		Hash   string // of the policy; the device says which it applied
	}
	// SetPolicy is a step of the Android Management API. Name is the policy's
	// name there, made of its content.
	SetPolicy struct {
		Name   string
		Policy android.Policy
	}
)

func (SetAgentPolicy) step() {}
func (SetPolicy) step()      {}

// policyKey is the key of the one item of an Android device.
const policyKey = "policy"

// androidTarget adds what is known of an Android device.
func androidTarget(t *document.Target, d enroll.Device) {
	t.APILevel, _ = strconv.Atoi(d.Facts.Extra[APILevelFact])
	switch m := document.Management(d.Facts.Extra[ManagementFact]); m {
	case document.FullyManaged, document.CompanyWorkProfile, document.PersonalWorkProfile:
		t.Management = m
	}
}

// compileAndroid gives the one item of an Android device, and what it does not
// honour. A part that needs a variable without a value is left out.
func compileAndroid(e document.Effective, resolved document.Document, missing []document.Missing, t document.Target) (Item, []document.Note) {
	resolved = without(resolved, missing)
	item := Item{Key: policyKey, Title: "Policy", Policies: originsOf(e, "")}
	if t.Agent {
		p, notes := android.Agent(resolved, t)
		item.Hash = hash(p)
		item.Step = SetAgentPolicy{Policy: p, Hash: item.Hash}
		return item, notes
	}
	p, notes := android.Compile(resolved, t)
	item.Hash = hash(p)
	item.Step = SetPolicy{Name: android.Name(p), Policy: p}
	return item, notes
}

// without leaves out the parts that variables are missing in: elements of lists,
// or whole fields.
func without(d document.Document, missing []document.Missing) document.Document {
	if len(missing) == 0 {
		return d
	}
	var parts []string
	for _, m := range missing {
		path := strings.Split(m.Pointer, "/")
		n := 2
		for i := 2; i < min(len(path), 4); i++ {
			if _, err := strconv.Atoi(path[i]); err == nil {
				n = i + 1
				break
			}
		}
		parts = append(parts, strings.Join(path[:n], "/"))
	}
	slices.SortFunc(parts, comparePointers)
	parts = slices.Compact(parts)
	var fields map[string]any
	b, err := json.Marshal(d)
	if err == nil {
		err = json.Unmarshal(b, &fields)
	}
	for _, part := range slices.Backward(parts) { // so that elements keep their places
		cut(fields, strings.Split(part, "/")[1:])
	}
	if err == nil {
		b, err = json.Marshal(fields)
	}
	var out document.Document
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		panic(err) // checked at save: only values that have a JSON form are stored
	}
	return out
}

// cut takes what a path leads to out of a JSON value and gives the rest.
func cut(v any, path []string) any {
	switch v := v.(type) {
	case map[string]any:
		if len(path) == 1 {
			delete(v, path[0])
		} else if inner, there := v[path[0]]; there {
			v[path[0]] = cut(inner, path[1:])
		}
	case []any:
		i, err := strconv.Atoi(path[0])
		switch {
		case err != nil || i >= len(v):
		case len(path) == 1:
			return slices.Delete(v, i, i+1)
		default:
			v[i] = cut(v[i], path[1:])
		}
	}
	return v
}

// comparePointers orders pointers so that later elements of a list come after
// earlier ones.
func comparePointers(a, b string) int {
	x, y := strings.Split(a, "/"), strings.Split(b, "/")
	for i := range min(len(x), len(y)) {
		n, errN := strconv.Atoi(x[i])
		m, errM := strconv.Atoi(y[i])
		if errN == nil && errM == nil {
			if n != m {
				return n - m
			}
		} else if c := strings.Compare(x[i], y[i]); c != 0 {
			return c
		}
	}
	return len(x) - len(y)
}
