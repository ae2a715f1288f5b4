package policy

import (
	"encoding/json"
	"time"

	"rollcall/enroll"
)

// DeclarativeStatus is what a device has reported by declarative management:
// the status items as one tree, and the errors of the last report.
type DeclarativeStatus struct {
	Items  map[string]any
	Errors []any
	At     time.Time // last report; zero: never
}

// Bounds of what is kept of status reports. A report alone is bounded by the
// check-in that carries it.
const (
	maxStatus      = 1 << 20 // bytes, as JSON
	maxStatusDepth = 32
)

// Merge lays a status report over what was reported before (Apple:
// StatusReport): dictionaries are merged key by key, lists of things with an
// identifier by that, where "_removed" takes one out; everything else is
// replaced, and a full report replaces all.
func (s *DeclarativeStatus) Merge(report []byte, at time.Time) error {
	var r struct {
		StatusItems map[string]any
		Errors      []any
		FullReport  bool
	}
	if err := json.Unmarshal(report, &r); err != nil {
		return enroll.Errorf(enroll.KindInvalid, "status_invalid", "the status report is not JSON that can be read: %v", err)
	}
	if depth(r.StatusItems) > maxStatusDepth {
		return enroll.Errorf(enroll.KindInvalid, "status_too_deep", "the status report is nested deeper than %d", maxStatusDepth)
	}
	before := s.Items
	if r.FullReport {
		before = nil
	}
	items, _ := mergeStatus(before, r.StatusItems).(map[string]any)
	b, err := json.Marshal(items)
	if err != nil {
		return err
	}
	if len(b) > maxStatus {
		return enroll.Errorf(enroll.KindInvalid, "status_too_large", "what the device reports has more than %d bytes", maxStatus)
	}
	s.Items, s.Errors, s.At = items, r.Errors, at
	return nil
}

func mergeStatus(old, fresh any) any {
	switch fresh := fresh.(type) {
	case map[string]any:
		was, _ := old.(map[string]any)
		out := make(map[string]any, len(was)+len(fresh))
		for k, v := range was {
			out[k] = v
		}
		for k, v := range fresh {
			out[k] = mergeStatus(out[k], v)
		}
		return out
	case []any:
		return mergeList(old, fresh)
	}
	return fresh
}

// mergeList merges lists whose items all have an identifier.
func mergeList(old any, fresh []any) any {
	was, _ := old.([]any)
	out := make([]any, 0, len(was)+len(fresh))
	place := map[string]int{}
	for _, list := range [][]any{was, fresh} {
		for _, v := range list {
			item, _ := v.(map[string]any)
			id, ok := item["identifier"].(string)
			if !ok {
				return fresh
			}
			i, known := place[id]
			if !known {
				i = len(out)
				place[id], out = i, append(out, nil)
			}
			if removed, _ := item["_removed"].(bool); removed {
				out[i] = nil
			} else {
				out[i] = mergeStatus(out[i], item)
			}
		}
	}
	kept := out[:0]
	for _, v := range out {
		if v != nil {
			kept = append(kept, v)
		}
	}
	return kept
}

func depth(v any) int {
	deepest := 0
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			deepest = max(deepest, depth(e))
		}
	case []any:
		for _, e := range v {
			deepest = max(deepest, depth(e))
		}
	default:
		return 0
	}
	return deepest + 1
}

// at walks down the tree; nil where there is nothing.
func (s DeclarativeStatus) at(path ...string) any {
	var v any = s.Items
	for _, p := range path {
		m, _ := v.(map[string]any)
		v = m[p]
	}
	return v
}

// Supported names the types of declarations that the device knows; nil: it has
// not said.
func (s DeclarativeStatus) Supported() map[string]bool {
	lists, _ := s.at("management", "client-capabilities", "supported-payloads", "declarations").(map[string]any)
	if lists == nil {
		return nil
	}
	out := map[string]bool{}
	for _, l := range lists {
		list, _ := l.([]any)
		for _, v := range list {
			if t, ok := v.(string); ok {
				out[t] = true
			}
		}
	}
	return out
}

// DeclarationState is what a device says of a declaration it was given.
type DeclarationState struct {
	ServerToken string
	Active      bool
	Valid       string // "unknown", "valid", "invalid"
	Reasons     []DeclarationReason
}

// DeclarationReason is one of the device's own reasons.
type DeclarationReason struct {
	Code        string `json:"code"` // "Error.ConfigurationIsInvalid"
	Description string `json:"description"`
}

// State is what the device last said of a declaration; false: nothing, or
// about another version of it.
func (s DeclarativeStatus) State(d Declaration) (DeclarationState, bool) {
	plural := map[string]string{"activation": "activations", "asset": "assets", "configuration": "configurations", "management": "management"}
	list, _ := s.at("management", "declarations", plural[d.Kind]).([]any)
	for _, v := range list {
		m, _ := v.(map[string]any)
		if m["identifier"] != d.Identifier || m["server-token"] != d.ServerToken {
			continue
		}
		state := DeclarationState{ServerToken: d.ServerToken}
		state.Active, _ = m["active"].(bool)
		state.Valid, _ = m["valid"].(string)
		reasons, _ := m["reasons"].([]any)
		for _, r := range reasons {
			reason, _ := r.(map[string]any)
			var told DeclarationReason
			told.Code, _ = reason["code"].(string)
			told.Description, _ = reason["description"].(string)
			state.Reasons = append(state.Reasons, told)
		}
		return state, true
	}
	return DeclarationState{}, false
}
