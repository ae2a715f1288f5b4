package enroll

import (
	"fmt"
	"strings"
	"time"
)

// ImportState is where an import stands.
type ImportState string

// The way of an import. Uploading is seen by nobody but the store: a file that
// did not arrive whole is no import. Failed means that no plan could be made
// (Import.Problem says why): changed options or a cancel lead out of it.
const (
	ImportUploading ImportState = "uploading"
	ImportUploaded  ImportState = "uploaded"
	ImportPlanning  ImportState = "planning"
	ImportPlanned   ImportState = "planned"
	ImportApplying  ImportState = "applying"
	ImportSending   ImportState = "sending" // applied; its enrollment requests are made
	ImportApplied   ImportState = "applied"
	ImportReverting ImportState = "reverting"
	ImportReverted  ImportState = "reverted"
	ImportFailed    ImportState = "failed"
	ImportCancelled ImportState = "cancelled"
)

// Working says whether a worker has, or will have, this import in hand.
func (s ImportState) Working() bool {
	return s == ImportUploaded || s == ImportPlanning || s == ImportApplying || s == ImportSending || s == ImportReverting
}

// What becomes of a row whose serial is on the roll already.
const (
	DuplicateSkip    = "skip"    // the roll stays as it is
	DuplicateUpdate  = "update"  // cells with a value change the row, blank ones leave it
	DuplicateReplace = "replace" // blank cells empty the value, too
	DuplicateFail    = "fail"    // the row is an error
)

// What becomes of the good rows of a file with bad ones.
const (
	ErrorAbort = "abort" // nothing can be applied
	ErrorSkip  = "skip"  // the good rows can
)

// What becomes of a user who exists already.
const (
	UsersReplace = "replace" // name and mobile number of the file are taken
	UsersSkip    = "skip"    // the user stays as it is
)

// Whether a row needs an owner.
const (
	OwnerRequired = "required"
	OwnerOptional = "optional"
)

// ImportOptions is everything about an import that is not in the file.
type ImportOptions struct {
	Domain      string                       `json:"domain"`              // directory of the users
	Preset      string                       `json:"preset,omitempty"`    // whose list it is
	Charset     string                       `json:"charset,omitempty"`   // code page of a file that is not Unicode
	Delimiter   string                       `json:"delimiter,omitempty"` // one of , ; tab |; empty: found out
	Header      string                       `json:"header,omitempty"`    // "yes", "no"; empty: found out
	Mapping     map[string]string            `json:"mapping,omitempty"`   // column name, or "#1", to field; "-" leaves a column out
	Values      map[string]map[string]string `json:"values,omitempty"`    // field to what a cell says to what it means
	Defaults    map[string]string            `json:"defaults,omitempty"`  // field to the value of rows that have none
	Owner       string                       `json:"owner,omitempty"`
	OnDuplicate string                       `json:"on_duplicate"`
	OnError     string                       `json:"on_error"`
	Users       string                       `json:"users"`
	PreEnroll   bool                         `json:"pre_enroll"` // false: users only, no device goes on the roll
	Corrections []Correction                 `json:"corrections,omitempty"`
}

// Correction is another value for one cell of a file.
type Correction struct {
	Line   int    `json:"line"`
	Column string `json:"column"` // name of the column, of its field, or "#1"
	Value  string `json:"value"`
}

// WithDefaults fills in what was left out.
func (o ImportOptions) WithDefaults() ImportOptions {
	for _, f := range []struct {
		field    *string
		standard string
	}{{&o.OnDuplicate, DuplicateUpdate}, {&o.OnError, ErrorAbort}, {&o.Users, UsersReplace}} {
		if *f.field == "" {
			*f.field = f.standard
		}
	}
	o.Domain = strings.TrimSpace(o.Domain)
	return o
}

// Check says what is wrong with the options, or nil. What concerns the file
// (columns, charset, preset) is found out when it is planned.
func (o ImportOptions) Check() error {
	if o.Domain == "" {
		return Errorf(KindInvalid, "domain_required", "the domain is missing").
			WithHint("Choose the directory the users belong to (domain=...); %q is always there.", DefaultDomain)
	}
	if err := checkName("the domain", o.Domain); err != nil {
		return err
	}
	for _, f := range []struct{ name, value, allowed string }{
		{"on_duplicate", o.OnDuplicate, "skip, update, replace, fail"},
		{"on_error", o.OnError, "abort, skip"},
		{"users", o.Users, "replace, skip"},
		{"owner", o.Owner, ", required, optional"},
		{"header", o.Header, ", yes, no"},
	} {
		known := false
		for a := range strings.SplitSeq(f.allowed, ", ") {
			known = known || a == f.value
		}
		if !known {
			return Errorf(KindInvalid, f.name+"_unknown", "%s cannot be %q", f.name, f.value).WithHint("Use one of %s.", strings.TrimPrefix(f.allowed, ", "))
		}
	}
	return nil
}

// ImportCounts is what the plan of an import does, or did once applied.
type ImportCounts struct {
	Rows         int `json:"rows"`
	New          int `json:"new"`
	Changed      int `json:"changed"`
	Unchanged    int `json:"unchanged"`
	Conflict     int `json:"conflict"`
	Error        int `json:"error"`
	Skipped      int `json:"skipped"`
	Warnings     int `json:"warnings"` // rows with at least one
	UsersNew     int `json:"users_new"`
	UsersChanged int `json:"users_changed"`
	// Rows whose user can be sent an enrollment request by e-mail, and by SMS.
	Recipients    int `json:"recipients"`
	RecipientsSMS int `json:"recipients_sms"`
}

// How long an applied import can at least be reverted, and how long an import is
// kept after the last thing that was done with it.
const (
	ImportRevertWindow = 30 * 24 * time.Hour
	ImportRetention    = 90 * 24 * time.Hour
)

// Removable says why an import may not be deleted yet, or nil.
func (i Import) Removable(now time.Time) error {
	switch {
	case i.State.Working():
		return Errorf(KindConflict, "import_"+string(i.State), "the import is %s", i.State).WithHint("Wait for its end, or cancel it.")
	case i.State == ImportApplied && now.Before(i.AppliedAt.Add(ImportRevertWindow)):
		return Errorf(KindConflict, "import_revertible", "the import was applied at %s and can be reverted", utcText(i.AppliedAt)).
			WithHint("It can be deleted from %s on, or when it has been reverted.", utcText(i.AppliedAt.Add(ImportRevertWindow)))
	}
	return nil
}

// Bad is how many rows cannot be applied.
func (c ImportCounts) Bad() int { return c.Conflict + c.Error }

// Import is a file on its way onto the roll.
type Import struct {
	ID        string // UUIDv7
	State     ImportState
	FileName  string
	Size      int64
	SHA256    string // hex, of the uploaded bytes
	Lines     int    // of the file; the rows are fewer
	Nature    string // what the importer found out about the bytes, in its own form
	Options   ImportOptions
	Version   int64          // grows with each change of the plan
	Charset   string         // as the file was read
	Delimiter string         // as the file was read
	Columns   []ImportColumn // as the file was mapped
	Counts    ImportCounts
	Done      int // rows that the present step has done
	Stale     int // rows of the roll that had changed when the plan was last applied; it was made anew
	Problem   *ImportProblem
	Sending   *Sending // nil: no enrollment requests are to be sent

	CreatedBy  string
	CreatedAt  time.Time
	PlannedAt  time.Time
	AppliedBy  string
	AppliedAt  time.Time
	RevertedBy string
	RevertedAt time.Time
	Reverted   RevertCounts
}

// Sending is who of an import gets enrollment requests once it is
// applied, and how far that has come.
type Sending struct {
	Via     Via    `json:"via"`              // email or sms
	Only    []int  `json:"only,omitempty"`   // lines, in order; empty: all recipients
	Except  []int  `json:"except,omitempty"` // lines that are left out, in order
	By      string `json:"by"`               // the admin, as shown to the user
	After   int    `json:"after"`            // line up to which it is done
	Sent    int    `json:"sent"`
	LeftOut int    `json:"left_out"` // who were chosen and could not be invited: see Invites
	Done    bool   `json:"done"`
}

// ImportProblem is why no plan could be made.
type ImportProblem struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty"`
}

// ImportPreset is a way of reading files that was given a name.
type ImportPreset struct {
	Name      string                       `json:"name"`
	Title     string                       `json:"title,omitempty"`
	BuiltIn   bool                         `json:"built_in,omitempty"`
	Charset   string                       `json:"charset,omitempty"`
	Delimiter string                       `json:"delimiter,omitempty"`
	Header    string                       `json:"header,omitempty"`
	Mapping   map[string]string            `json:"mapping,omitempty"`
	Values    map[string]map[string]string `json:"values,omitempty"`
	Defaults  map[string]string            `json:"defaults,omitempty"`
	Owner     string                       `json:"owner,omitempty"`
}

// ImportColumn is how one column of a file is understood.
type ImportColumn struct {
	Position   int      `json:"position"` // from 1
	Header     string   `json:"header,omitempty"`
	Field      string   `json:"field,omitempty"`     // empty: the column is not used
	Suggested  string   `json:"suggested,omitempty"` // a field it may be, too unsure to be taken
	Confidence float64  `json:"confidence"`          // of Field or Suggested, 0 to 1
	Samples    []string `json:"samples,omitempty"`   // the first three values
}

// ImportRow is one line of a file, checked and in normal form.
type ImportRow struct {
	Line       int // in the file, counting from 1
	Name       string
	Email      string
	Mobile     string
	Ownership  Ownership
	DeviceName string
	Serial     string
	SerialRaw  string
	Platform   Platform

	Groups    []string
	Policies  []string
	Tags      []string
	AssetTag  string
	Notes     string
	IMEI      string
	IMEI2     string
	UDID      string
	Model     string
	NotBefore time.Time
	ExpiresAt time.Time
	Uses      int // enrollments allowed; 0: not said

	SkipOf   int             // line of the row with the same serial that this one is skipped for
	Clear    map[string]bool // fields that are to be emptied
	Errors   RowErrors       // what is wrong; the row cannot be applied
	Warnings RowErrors
}

// RowError is what is wrong with one cell of an import.
type RowError struct {
	Line   int    `json:"line"`
	Column string `json:"column"`
	Value  string `json:"value"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty"`
}

// Error implements error.
func (e RowError) Error() string {
	return fmt.Sprintf("line %d, %s %q: %s", e.Line, e.Column, e.Value, e.Detail)
}

// RowErrors is everything that is wrong with rows, in the order of lines.
type RowErrors []RowError

// Error implements error.
func (es RowErrors) Error() string {
	switch len(es) {
	case 0:
		return "no errors"
	case 1:
		return es[0].Error()
	}
	return fmt.Sprintf("%v; and %d more errors", es[0], len(es)-1)
}

// RowAction is what a plan does with a row.
type RowAction string

// The actions.
const (
	ActionNew       RowAction = "new"
	ActionChanged   RowAction = "changed"
	ActionUnchanged RowAction = "unchanged"
	ActionConflict  RowAction = "conflict" // the row contradicts the roll
	ActionError     RowAction = "error"    // the row is wrong in itself
	ActionSkipped   RowAction = "skipped"  // the serial is known, and the import leaves such rows
)

// PlanRow is what the plan does with one line.
type PlanRow struct {
	Line     int
	Action   RowAction
	Serial   string
	Email    string
	Changes  []FieldChange // of a changed or new row
	Errors   RowErrors
	Warnings RowErrors
	Revert   RevertResult // after a revert
	Version  int64        // Import.Version of when the row was planned
}

// RowConflict refuses a correction of a row that was planned anew since it was
// read.
type RowConflict struct {
	Current PlanRow
}

// Error implements error.
func (e *RowConflict) Error() string { return e.Unwrap().Error() }

// Unwrap gives the *Error, of KindConflict.
func (e *RowConflict) Unwrap() error {
	return Errorf(KindConflict, "version_changed", "line %d has been planned anew meanwhile; its version is %d now", e.Current.Line, e.Current.Version).
		WithHint("Look at the row as it is now, and correct it with its version.")
}

// ProblemCount is how many rows of a plan have a problem, the first of each row
// counting.
type ProblemCount struct {
	Code   string
	Rows   int
	Column string // of one of them
	Detail string // of one of them
	Hint   string
}

// FieldChange is one field before and after.
type FieldChange struct {
	Field string `json:"field"`
	Old   string `json:"old,omitempty"`
	New   string `json:"new,omitempty"`
}

// RevertResult is what a revert does, or did, with a row.
type RevertResult string

// What becomes of a row when its import is reverted. The kept ones had been
// touched since.
const (
	RevertDeleted      RevertResult = "deleted"
	RevertRestored     RevertResult = "restored"
	RevertKeptEnrolled RevertResult = "kept_enrolled"
	RevertKeptChanged  RevertResult = "kept_changed"
	RevertGone         RevertResult = "gone" // somebody deleted it meanwhile
)

// RevertCounts counts the rows that an import had written.
type RevertCounts struct {
	Deleted      int `json:"deleted"`
	Restored     int `json:"restored"`
	KeptEnrolled int `json:"kept_enrolled"`
	KeptChanged  int `json:"kept_changed"`
	Gone         int `json:"gone"`
}
