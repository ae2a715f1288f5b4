package admin

import (
	"context"
	"net/http"
	"time"

	"rollcall/policy"
)

type receiptView struct {
	EnrolledAt   time.Time         `json:"enrolled_at,omitzero"`
	CompletedAt  time.Time         `json:"completed_at,omitzero" doc:"Last final answer, once nothing is open."`
	TimeToPolicy float64           `json:"time_to_policy_seconds,omitempty" doc:"From the enrollment to completed_at."`
	Versions     map[string]int64  `json:"versions" doc:"Of the policies that the device was last planned with, by name."`
	Items        []receiptItemView `json:"items" doc:"In the order in which they were sent."`
	Notes        []noteView        `json:"notes" doc:"What of its policies the device is not sent, or not as it is written."`
}

type receiptItemView struct {
	Key         string           `json:"key"`
	Title       string           `json:"title"`
	Policies    []policy.From    `json:"policies,omitempty" doc:"It comes from these. Absent: from the device's row, or the server itself."`
	Removal     bool             `json:"removal,omitempty"`
	CommandID   string           `json:"command_id"`
	RequestType string           `json:"request_type"`
	State       policy.ItemState `json:"state" enum:"waiting,sent,not_now,applied,failed"`
	Attempts    int              `json:"attempts" doc:"How often it was handed to the device."`
	Tries       int              `json:"tries" doc:"How often the same content was sent."`
	Reason      string           `json:"reason,omitempty" enum:"retry,drift" doc:"Why it was sent again: it failed with an error that may pass, or the device no longer had it."`
	Error       string           `json:"error,omitempty" doc:"The device's own words."`
	QueuedAt    time.Time        `json:"queued_at,omitzero"`
	SentAt      time.Time        `json:"sent_at,omitzero"`
	FinishedAt  time.Time        `json:"finished_at,omitzero"`
	RetryAt     time.Time        `json:"retry_at,omitzero" doc:"When it is sent again by itself. Absent: not before it changes."`
}

type noteView struct {
	State    policy.NoteState `json:"state" enum:"unsupported,failed,note" doc:"unsupported: the device would not honour it. failed: it cannot be sent. note: it is carried out otherwise than it is written."`
	Pointer  string           `json:"pointer" doc:"JSON pointer (RFC 6901) into the effective document." example:"/restrictions/camera"`
	Code     string           `json:"code" example:"not_supervised"`
	Text     string           `json:"text"`
	Policies []policy.From    `json:"policies,omitempty"`
}

func viewReceipt(r policy.Receipt) receiptView {
	out := receiptView{EnrolledAt: utc(r.EnrolledAt), CompletedAt: utc(r.CompletedAt), TimeToPolicy: r.TimeToPolicy().Seconds(),
		Versions: r.Versions, Items: viewItems(r.Items), Notes: viewNotes(r.Notes)}
	if out.Versions == nil {
		out.Versions = map[string]int64{}
	}
	return out
}

func viewItems(items []policy.ReceiptItem) []receiptItemView {
	out := make([]receiptItemView, len(items))
	for n, i := range items {
		out[n] = receiptItemView{Key: i.Key, Title: i.Title, Policies: i.Policies, Removal: i.Removal, CommandID: i.CommandID,
			RequestType: i.RequestType, State: i.State(), Attempts: i.Attempts, Tries: i.Tries, Reason: i.Reason, Error: i.Error,
			QueuedAt: utc(i.QueuedAt), SentAt: utc(i.SentAt), FinishedAt: utc(i.FinishedAt), RetryAt: utc(i.RetryAt)}
	}
	return out
}

func viewNotes(notes []policy.Note) []noteView {
	out := make([]noteView, len(notes))
	for i, n := range notes {
		out[i] = noteView(n)
	}
	return out
}

type policyReceiptView struct {
	Serial      string             `json:"serial"`
	State       policy.PolicyState `json:"state" enum:"not_enrolled,waiting,applied,failed" doc:"waiting: something of it is open. failed: the device refused something of it, or something cannot be sent."`
	Version     int64              `json:"version,omitempty" doc:"The version that the device was last planned with."`
	CompletedAt time.Time          `json:"completed_at,omitzero" doc:"Last final answer about it, once nothing is open."`
	Items       []receiptItemView  `json:"items" doc:"Parts of the device's receipt that come from this policy, alone or with others."`
	Notes       []noteView         `json:"notes" doc:"What of this policy the device is not sent, or not as it is written."`
}

func viewPolicyReceipt(r policy.PolicyReceipt) policyReceiptView {
	return policyReceiptView{Serial: r.Serial, State: r.State(), Version: r.Version, CompletedAt: utc(r.CompletedAt), Items: viewItems(r.Items), Notes: viewNotes(r.Notes)}
}

// policyReceipt declares what became of a policy on all of its devices.
func (r routes) policyReceipt() {
	a := r.a
	type listReceipts struct {
		PolicyParam
		ListParams
	}
	add(r, RoleViewer, r.policyOperation("get-policy-receipt", http.MethodGet, "/{name}/receipt", "Read what devices got of a policy", "Of each device that it is bound to, itself, through its user or a group; by serial."),
		func(ctx context.Context, in *listReceipts) (*body[list[policyReceiptView]], error) {
			page, err := in.page()
			if err != nil {
				return nil, err
			}
			receipts, err := a.Policies.PolicyReceipts(ctx, in.Name, page)
			if err != nil {
				return nil, err
			}
			return &body[list[policyReceiptView]]{listOf(receipts, page, func(r policy.PolicyReceipt) string { return r.Serial }, viewPolicyReceipt)}, nil
		})
}
