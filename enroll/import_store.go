package enroll

import (
	"context"
	"time"
)

// ImportLease says which worker has an import in hand. A worker whose lease
// was taken over can write nothing more; what it does then is ErrLeaseLost.
type ImportLease struct {
	ImportID string
	Worker   string
}

// ErrLeaseLost is the error of a worker that has lost its import to another one,
// or to an admin who cancelled it.
var ErrLeaseLost = Errorf(KindConflict, "import_lease_lost", "another server has taken over this import")

// ImportRowFilter narrows the rows of a plan; zero fields do not filter.
type ImportRowFilter struct {
	Actions []RowAction
	Warned  bool   // only those with warnings
	Kept    bool   // only those that a revert did, or would, leave
	Problem string // only those whose first error has this code
	Line    int    // only this one
}

// Replan is what a correction changes of a plan.
type Replan struct {
	Version int64         // Import.Version that it was worked out with
	Options ImportOptions // with the correction
	Rows    []ImportRow   // that it touches, in the order of the file
	Emails  []string      // users that only these rows speak of
}

// Recipient is a user and a device of an import, to whom an enrollment request
// can be sent.
type Recipient struct {
	Line     int
	DeviceID string
	Serial   string // empty where the import makes users only
	State    State  // of the device
	User     User
}

// Unreachable is the code of why a recipient cannot be sent an enrollment
// request, or empty: user_only, device_enrolled, device_blocked, email_missing,
// mobile_missing.
func (r Recipient) Unreachable(via Via) string {
	switch {
	case r.Serial == "":
		return "user_only"
	case r.State == StateEnrolled:
		return "device_enrolled"
	case r.State == StateBlocked:
		return "device_blocked"
	case via.address(r.User) != "":
		return ""
	case via == ViaSMS:
		return "mobile_missing"
	}
	return "email_missing"
}

// ImportStore keeps imports, their files and their plans. A missing import is
// KindNotFound. Every method is one transaction.
type ImportStore interface {
	// CreateImport makes an import whose file is on its way, AddImportChunk
	// keeps a part of it and FinishUpload makes it an import for all to see:
	// imp, or the one there is already of the same file with the same options
	// that was neither reverted nor cancelled (existed), unless again says so.
	CreateImport(ctx context.Context, imp Import) error
	AddImportChunk(ctx context.Context, id string, seq int, data []byte) error
	FinishUpload(ctx context.Context, imp Import, again bool) (Import, bool, error)
	// ImportChunk gives a part of the file; nil: there are no more.
	ImportChunk(ctx context.Context, id string, seq int) ([]byte, error)
	// DropUploads removes files that stopped arriving before a time.
	DropUploads(ctx context.Context, before time.Time) (int, error)

	Import(ctx context.Context, id string) (Import, error)
	Imports(ctx context.Context, p Page) ([]Import, error) // newest first; After is an ID
	// ChangeImport reads, changes and writes an import, locked. A state that
	// differs takes it from any worker; a cancelled import loses file and plan.
	ChangeImport(ctx context.Context, id string, change func(Import) (Import, error)) (Import, error)
	// DeleteImport removes an import with its file and plan if check allows it.
	// What it did to the roll stays.
	DeleteImport(ctx context.Context, id string, check func(Import) error) error
	// DropImports removes imports that nobody works on and with which nothing
	// was done since a time, and says how many there were.
	DropImports(ctx context.Context, before time.Time) (int, error)

	// ClaimImport gives a worker the next import that is to be worked on and
	// that no other has, oldest first; ok is false where there is none.
	ClaimImport(ctx context.Context, worker string, now time.Time, lease time.Duration) (imp Import, ok bool, err error)
	// HoldImport renews a lease and notes progress.
	HoldImport(ctx context.Context, l ImportLease, done int, until time.Time) error

	// BeginPlan throws away the plan there was. PlanRows plans rows, in the
	// order of the file, and FinishPlan says that it is whole: imp holds what
	// was found out about the file, or its Problem.
	BeginPlan(ctx context.Context, l ImportLease) error
	PlanRows(ctx context.Context, l ImportLease, o ImportOptions, rows []ImportRow, now time.Time) error
	FinishPlan(ctx context.Context, l ImportLease, imp Import) error
	// ReplanRows puts other rows in the place of some of a planned import,
	// and counts anew. KindConflict (plan_moved) where the version of the
	// import is another one.
	ReplanRows(ctx context.Context, id string, r Replan, now time.Time) error
	// ApplyImport writes the plan in one transaction, or nothing: where a row
	// of the roll has changed since it was planned against, the import goes
	// back to be planned, and stale is the number of such rows. progress hears
	// of rows written, before they are committed. Where there are requests to
	// send the import is sending then, else applied.
	ApplyImport(ctx context.Context, l ImportLease, now time.Time, progress func(done int)) (stale int, err error)
	// SendImport makes requests of some of an import's recipients and notes how
	// far that came; with the last of them, s.Done, the import is applied.
	SendImport(ctx context.Context, l ImportLease, invites []Invite, s Sending) error
	// PreviewRevert counts what RevertImport would do; both name each row's
	// result in ImportRows.
	PreviewRevert(ctx context.Context, id string) (RevertCounts, error)
	RevertImport(ctx context.Context, l ImportLease, now time.Time, progress func(done int)) error

	ImportRows(ctx context.Context, id string, f ImportRowFilter, p Page) ([]PlanRow, error)      // After is a line
	ImportProblems(ctx context.Context, id string) ([]ProblemCount, error)                        // by code
	ImportRecipients(ctx context.Context, id string, p Page) ([]Recipient, error)                 // After is a line; of a plan, those it would make
	ImportPresets(ctx context.Context) ([]ImportPreset, error)                                    // that were saved, by name
	ImportPreset(ctx context.Context, name string) (ImportPreset, error)                          //
	PutImportPreset(ctx context.Context, p ImportPreset, now time.Time) (created bool, err error) //
	DeleteImportPreset(ctx context.Context, name string) error
}
