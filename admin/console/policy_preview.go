package console

import (
	"net/http"
	"slices"
	"strings"
)

// origin is where an effective value comes from.
type origin struct {
	Policy  string `json:"policy"`
	Version int64  `json:"version"`
	Via     string `json:"via"`
}

type conflict struct {
	Pointer string   `json:"pointer"`
	Text    string   `json:"text"`
	Won     origin   `json:"won"`
	Lost    []origin `json:"lost"`
}

type effectiveItem struct {
	Title   string `json:"title"`
	Blocked string `json:"blocked"`
}

// effective is what a device is to have.
type effective struct {
	Serial    string              `json:"serial"`
	OnRoll    bool                `json:"on_roll"`
	Policies  []policySummary     `json:"policies"`
	Document  document            `json:"document"`
	Origins   map[string][]origin `json:"origins"`
	Conflicts []conflict          `json:"conflicts"`
	Items     []effectiveItem     `json:"items"`
	Notes     []receiptNote       `json:"notes"`
}

// effectiveValue is a value with its origins.
type effectiveValue struct {
	said
	Origins []origin
}

// Values are what the device is to have. The origins of a value stand at it, or
// at what it is a part of.
func (e effective) Values() []effectiveValue {
	var out []effectiveValue
	for _, s := range saidBy(e.Document) {
		pointer := s.Pointer
		for e.Origins[pointer] == nil && pointer != "" {
			pointer = pointer[:strings.LastIndexByte(pointer, '/')]
		}
		out = append(out, effectiveValue{s, e.Origins[pointer]})
	}
	return out
}

// previewFields are the parameters of the preview.
var previewFields = []string{"group", "user", "domain", "platform", "os_version", "supervised", "family"}

// previewPolicy shows what a device is to have, also one that does not exist yet.
func previewPolicy(q *request) error {
	var data struct {
		Groups    []string
		Effective *effective
	}
	groups, err := q.groupList()
	if err != nil {
		return err
	}
	for _, g := range groups {
		data.Groups = append(data.Groups, g.Name)
	}
	v := view{Title: text("policies.preview.title"), Area: "policies", Tabs: policyTabs}
	if serial := strings.TrimSpace(q.Param("serial")); serial != "" {
		e := &effective{}
		err := q.get(at("/devices/%s/policy", serial), q.filtersOf(previewFields), e)
		if v.Problem = refusal(err); err != nil && v.Problem == nil {
			return err
		}
		if err == nil {
			data.Effective = e
		}
	} else if slices.ContainsFunc(previewFields, func(name string) bool { return q.Param(name) != "" }) {
		v.Problem, v.Status = wrongField("/serial", text("policies.preview.noserial")), http.StatusUnprocessableEntity
	}
	v.Data = data
	return q.page("policy-preview", v)
}
