package admin

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/enroll"
)

// AuditStore reads the audit log.
type AuditStore interface {
	// Audit lists entries, newest first; before is the place of the last one of
	// the previous page, 0 at the start.
	Audit(ctx context.Context, f enroll.AuditFilter, before int64, limit int) ([]enroll.AuditEntry, error)
	// VerifyAudit walks along the whole chain, in batches.
	VerifyAudit(ctx context.Context) (enroll.AuditReport, error)
}

type auditView struct {
	Sequence   int64           `json:"sequence" doc:"Place in the log, from 1, without gaps."`
	ID         string          `json:"id"`
	At         time.Time       `json:"at"`
	Actor      actorView       `json:"actor"`
	Operation  string          `json:"operation" doc:"ID of the operation in this document." example:"put-device"`
	Path       string          `json:"path" doc:"What it was called on."`
	Kind       string          `json:"kind,omitempty" doc:"Kind of the object. Absent: the path says it." example:"device"`
	Key        string          `json:"key,omitempty" doc:"Name of the object among its kind, such as a serial."`
	Before     json.RawMessage `json:"before,omitempty" doc:"The object as it was. Absent: it did not exist, or is not kept because it may hold a secret."`
	After      json.RawMessage `json:"after,omitempty" doc:"The object as it became."`
	RequestID  string          `json:"request_id,omitempty" doc:"The request in the server's log."`
	RemoteAddr string          `json:"remote_addr,omitempty"`
	Hash       string          `json:"hash" doc:"Covers this entry and the hash of the one before."`
}

type actorView struct {
	Kind CallerKind `json:"kind,omitempty" enum:"token,administrator" doc:"Absent: the server by itself, in the name of who asked for it."`
	ID   string     `json:"id,omitempty"`
	Name string     `json:"name"`
}

func viewAudit(e enroll.AuditEntry) auditView {
	return auditView{Sequence: e.Seq, ID: e.ID, At: utc(e.At), Actor: actorView{CallerKind(e.Call.ActorKind), e.Call.ActorID, e.Call.ActorName}, Operation: e.Call.Operation, Path: e.Call.Path,
		Kind: e.Kind, Key: e.Key, Before: e.Before, After: e.After, RequestID: e.Call.RequestID, RemoteAddr: e.Call.RemoteAddr, Hash: hex.EncodeToString(e.Hash[:])}
}

type auditReportView struct {
	Intact  bool   `json:"intact"`
	Entries int64  `json:"entries" doc:"Entries that hold, from the first."`
	Head    string `json:"head,omitempty" doc:"Hash of the last of them. Noted elsewhere, it also shows later that nothing before it was replaced."`
	Broken  int64  `json:"broken,omitempty" doc:"First entry that is not what was written."`
	Reason  string `json:"reason,omitempty"`
}

func (r routes) audit() {
	a := r.a
	type listAudit struct {
		ListParams
		Actor     string    `query:"actor" maxLength:"64" doc:"ID of the token or the administrator."`
		Operation string    `query:"operation" maxLength:"64" example:"put-device"`
		Kind      string    `query:"kind" maxLength:"64" example:"device"`
		Key       string    `query:"key" maxLength:"255"`
		Since     time.Time `query:"since" doc:"Not older than this."`
		Until     time.Time `query:"until" doc:"Older than this."`
	}
	add(r, RoleAdmin, huma.Operation{OperationID: "list-audit", Method: http.MethodGet, Path: "/audit", Tags: []string{"Audit"},
		Summary: "List the audit log", Description: "Every change made through this API, newest first. Entries are written in the transaction of the change and are never deleted. Secrets and the contents of policies are not in them."},
		func(ctx context.Context, in *listAudit) (*body[list[auditView]], error) {
			p, err := in.page()
			if err != nil {
				return nil, err
			}
			before, err := place(p.After)
			if err != nil {
				return nil, err
			}
			entries, err := a.Audit.Audit(ctx, enroll.AuditFilter{ActorID: in.Actor, Operation: in.Operation, Kind: in.Kind, Key: in.Key, Since: in.Since, Until: in.Until}, before, p.Limit)
			if err != nil {
				return nil, err
			}
			return &body[list[auditView]]{listOf(entries, p, func(e enroll.AuditEntry) string { return strconv.FormatInt(e.Seq, 10) }, viewAudit)}, nil
		})
	add(r, RoleAdmin, huma.Operation{OperationID: "verify-audit", Method: http.MethodGet, Path: "/audit/verify", Tags: []string{"Audit"},
		Summary: "Verify the audit log", Description: "Walks from the first entry to the last and compares each hash. The key of the hashes is sealed: who can only write to the database cannot make a log that holds."},
		func(ctx context.Context, _ *struct{}) (*body[auditReportView], error) {
			report, err := a.Audit.VerifyAudit(ctx)
			if err != nil {
				return nil, err
			}
			out := auditReportView{Intact: report.Broken == 0, Entries: report.Entries, Broken: report.Broken, Reason: report.Reason}
			if report.Entries > 0 {
				out.Head = hex.EncodeToString(report.Head[:])
			}
			return &body[auditReportView]{out}, nil
		})
}

// place reads a key that is a number.
func place(key string) (int64, error) {
	if key == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(key, 10, 64)
	if err != nil || n < 0 {
		return 0, cursorUnknown()
	}
	return n, nil
}

// audited makes what an operation changes part of its call.
func (a *API) audited(c huma.Context, next func(huma.Context)) {
	if c.Method() == http.MethodGet {
		next(c)
		return
	}
	by, u := caller(c.Context()), c.URL()
	call := enroll.Call{ActorKind: string(by.Kind), ActorID: by.ID, ActorName: by.Name, Operation: c.Operation().OperationID, Path: u.EscapedPath(), RemoteAddr: c.RemoteAddr()}
	if a.RequestID != nil {
		call.RequestID = a.RequestID(c.Context())
	}
	next(huma.WithContext(c, enroll.WithCall(c.Context(), call)))
}
