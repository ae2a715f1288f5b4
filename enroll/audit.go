package enroll

import (
	"context"
	"encoding/json"
	"time"
)

// Call is an operation of the admin API that is under way. What is changed
// under its context goes into the audit log.
type Call struct {
	ActorKind  string // "token" or "administrator"; empty: the server by itself
	ActorID    string
	ActorName  string
	Operation  string // its ID: "put-device"
	Path       string // what it was called on, without the query
	RequestID  string // that of the server's log
	RemoteAddr string
}

type callKey struct{}

// WithCall makes what follows part of a call.
func WithCall(ctx context.Context, c Call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

// CallOf is the call under way; ok is false where a device acts, or the server
// by itself.
func CallOf(ctx context.Context) (c Call, ok bool) {
	c, ok = ctx.Value(callKey{}).(Call)
	return c, ok
}

// AuditEntry is one change made through the admin API, written in the
// transaction of the change. Entries form one chain: each one's hash covers the
// hash before it.
type AuditEntry struct {
	Seq  int64 // from 1, without gaps
	ID   string
	At   time.Time
	Call Call
	Kind string // kind of the object: "device"; empty: the call's path says it
	Key  string // its natural key
	// Before and After are the object as JSON, without anything secret; nil
	// where it did not exist, or does not any more, or must not be kept.
	Before, After json.RawMessage
	Hash          [32]byte
}

// AuditFilter narrows a list of entries; zero fields do not filter.
type AuditFilter struct {
	ActorID   string
	Operation string
	Kind, Key string
	Since     time.Time
	Until     time.Time
}

// AuditReport says what a walk along the chain found.
type AuditReport struct {
	Entries int64    // that were walked
	Head    [32]byte // hash of the last one; zero: there is none
	Broken  int64    // first entry that is not what was written; 0: none
	Reason  string   // what is wrong with it
}
