package admin

import (
	"time"

	"rollcall/policy"
)

type receiptView struct {
	EnrolledAt   time.Time         `json:"enrolled_at,omitzero"`
	CompletedAt  time.Time         `json:"completed_at,omitzero" doc:"Last final answer, once nothing is open."`
	TimeToPolicy float64           `json:"time_to_policy_seconds,omitempty" doc:"From the enrollment to completed_at."`
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
		Items: []receiptItemView{}, Notes: viewNotes(r.Notes)}
	for _, i := range r.Items {
		out.Items = append(out.Items, receiptItemView{Key: i.Key, Title: i.Title, Policies: i.Policies, Removal: i.Removal, CommandID: i.CommandID,
			RequestType: i.RequestType, State: i.State(), Attempts: i.Attempts, Tries: i.Tries, Reason: i.Reason, Error: i.Error,
			QueuedAt: utc(i.QueuedAt), SentAt: utc(i.SentAt), FinishedAt: utc(i.FinishedAt), RetryAt: utc(i.RetryAt)})
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
