package console

import (
	"cmp"
	"net/http"
	"slices"
	"time"
)

var approvalPages = []route{
	get("/enrollment/approvals", listApprovals),
	get("/enrollment/approvals/{serial}", showApproval),
	post("/enrollment/approvals/{serial}/approve", approve),
	post("/enrollment/approvals/{serial}/add", approveAndAdd),
	post("/enrollment/approvals/{serial}/reject", reject),
	post("/enrollment/approvals/{serial}/repair", repairRow),
}

// approval is a device that the gate held.
type approval struct {
	Serial     string    `json:"serial"`
	State      string    `json:"state"`
	DecisionID string    `json:"decision_id"`
	Attempts   int       `json:"attempts"`
	AskedAt    time.Time `json:"asked_at"`
	LastAt     time.Time `json:"last_at"`
	DecidedAt  time.Time `json:"decided_at"`
	DecidedBy  string    `json:"decided_by"`
}

var approvalStates = []string{"pending", "approved", "rejected"}

func listApprovals(q *request) error {
	var data struct {
		Items      []approval `json:"items"`
		NextCursor string     `json:"next_cursor"`
		State      string     `json:"-"`
		States     []string   `json:"-"`
		Hold       bool       `json:"-"` // devices are held at all
	}
	data.State, data.States = cmp.Or(q.Param("state"), "pending"), approvalStates
	if err := q.get("/approvals", query("limit", pageSize, "state", data.State, "cursor", q.Param("cursor")), &data); err != nil {
		return err
	}
	var s restrictions
	if err := q.get("/settings/enrollment-restrictions", nil, &s); err != nil {
		return err
	}
	rules, err := q.rules()
	if err != nil {
		return err
	}
	data.Hold = s.Mode == "enforce" && (s.Unlisted == "hold" || slices.ContainsFunc(rules, func(r rule) bool { return r.Enabled && r.Action == "hold" }))
	return q.enrollment("enrollment-approvals", view{Title: text("enrollment.approvals.title"), Data: data})
}

func showApproval(q *request) error { return approvalPage(q, nil) }

func approvalPage(q *request, p *problem) error {
	var data struct {
		Approval approval
		Decision decision
		Groups   []string
	}
	if err := q.get(at("/approvals/%s", q.PathValue("serial")), nil, &data.Approval); err != nil {
		return err
	}
	err := q.get(at("/decisions/%s", data.Approval.DecisionID), nil, &data.Decision)
	if gone := refusal(err); err != nil && (gone == nil || gone.Status != http.StatusNotFound) { // decisions end earlier than approvals
		return err
	}
	if data.Groups, err = q.groupNames(true); err != nil {
		return err
	}
	return q.enrollment("enrollment-approval", view{Title: text("enrollment.approval.title", data.Approval.Serial), Data: data, Problem: p,
		Crumbs: []crumb{{"/enrollment/approvals", text("enrollment.approvals.title")}}})
}

// decided ends a form about an approval.
func decided(q *request, err error, key string) error {
	if p := refusal(err); p != nil {
		return approvalPage(q, p)
	}
	if err != nil {
		return err
	}
	return q.done("/enrollment/approvals", key, q.PathValue("serial"))
}

func approve(q *request) error {
	return decided(q, q.post(at("/approvals/%s/approve", q.PathValue("serial")), nil, nil), "enrollment.approval.approved")
}

func reject(q *request) error {
	return decided(q, q.post(at("/approvals/%s/reject", q.PathValue("serial")), nil, nil), "enrollment.approval.rejected")
}

// approveAndAdd puts the device on the roll, and then into its group.
func approveAndAdd(q *request) error {
	serial := q.PathValue("serial")
	body := given(map[string]any{"platform": q.Typed("platform"), "ownership": q.Typed("ownership"), "name": q.Typed("name"), "notes": q.Typed("notes")})
	if email := q.Typed("email"); email != "" {
		body["user"] = given(map[string]any{"email": email, "name": q.Typed("user_name"), "domain": q.Typed("domain")})
	}
	if err := q.post(at("/approvals/%s/approve-and-add", serial), body, nil); err != nil {
		return decided(q, err, "")
	}
	if group := q.Typed("group"); group != "" {
		err := q.do(call{Method: http.MethodPost, Path: at("/groups/%s/members", group), JSON: map[string]any{"add": []string{serial}}, Once: q.Typed("once") + "-group"}, nil)
		if p := refusal(err); p != nil {
			return q.done("/enrollment/approvals", "enrollment.approval.added.nogroup", serial, p.Detail+" "+p.Hint)
		}
		if err != nil {
			return err
		}
	}
	return q.done("/enrollment/approvals", "enrollment.approval.added", serial)
}

// repairRow gives a row that was mistyped the serial of the device.
func repairRow(q *request) error {
	err := q.post(at("/decisions/%s/repair", q.Typed("decision")), map[string]any{"serial": q.Typed("row")}, nil)
	return decided(q, err, "enrollment.approval.repaired")
}
