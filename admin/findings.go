package admin

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Level is how bad a finding is.
type Level string

// The levels: fine, worth doing something about, and in the way of enrollment.
const (
	LevelOK   Level = "ok"
	LevelWarn Level = "warn"
	LevelFail Level = "fail"
)

// Finding is one thing of a deployment that was looked at.
type Finding struct {
	Level  Level
	Code   string    // stable: push_certificate_expiring
	Object string    // name or ID of what it is about, where there may be several; empty: the deployment
	Text   string    // a sentence for an admin
	Fix    string    // what to do; empty when fine
	Link   string    // path of the operation that shows more; empty: none
	Since  time.Time // zero: not known
}

// Examiner looks at a deployment, as rollcall doctor does.
type Examiner interface {
	// Examine gives everything that was looked at, what is fine included.
	Examine(ctx context.Context) []Finding
}

// attention leaves out what is fine; what is in the way of enrollment comes first.
func attention(findings []Finding) []Finding {
	var out []Finding
	for _, f := range findings {
		if f.Level != LevelOK {
			out = append(out, f)
		}
	}
	rank := func(f Finding) int { return slices.Index([]Level{LevelFail, LevelWarn}, f.Level) }
	slices.SortStableFunc(out, func(a, b Finding) int { return cmp.Compare(rank(a), rank(b)) })
	return out
}
