package importer

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"rollcall/enroll"
)

// Imports is what admins do with imports, and the worker that does the work.
// Any number of servers may have one on one store.
type Imports struct {
	enroll.ImportStore
	now    func() time.Time
	log    *slog.Logger
	limits Limits

	wake chan struct{}
	mu   sync.Mutex
	done map[string]int // progress of the imports that this process works on
}

// New makes the imports of a store; a nil clock is time.Now, a nil log
// slog.Default.
func New(store enroll.ImportStore, now func() time.Time, log *slog.Logger) *Imports {
	if now == nil {
		now = time.Now
	}
	if log == nil {
		log = slog.Default()
	}
	return &Imports{ImportStore: store, now: now, log: log, limits: DefaultLimits, wake: make(chan struct{}, 1), done: map[string]int{}}
}

// Upload is a file with what an admin says of it.
type Upload struct {
	File     io.Reader
	FileName string
	Options  enroll.ImportOptions
	By       string // name of the token
	Again    bool   // another import, even of the same file with the same options
}

// chunkSize is how much of a file is kept in one row, before compression.
const chunkSize = 1 << 20

// Upload keeps a file to be planned. existed says that the same file was
// uploaded with the same options before; that import is answered.
func (im *Imports) Upload(ctx context.Context, up Upload) (imp enroll.Import, existed bool, err error) {
	if up.Options, err = im.resolve(ctx, up.Options); err != nil {
		return enroll.Import{}, false, err
	}
	imp = enroll.Import{ID: enroll.NewID(), FileName: up.FileName, Options: up.Options, CreatedBy: up.By, CreatedAt: im.now().UTC()}
	if err := im.CreateImport(ctx, imp); err != nil {
		return enroll.Import{}, false, err
	}
	var nature Nature
	sum := sha256.New()
	src := io.TeeReader(io.LimitReader(up.File, im.limits.Bytes+1), io.MultiWriter(sum, &nature))
	chunk := make([]byte, chunkSize)
	for seq := 0; ; seq++ {
		n, err := fill(src, chunk)
		if nature.Size > im.limits.Bytes {
			return enroll.Import{}, false, wrong("file_too_large", "the file is larger than %d bytes", im.limits.Bytes).WithHint("Split it into several files.")
		}
		if n > 0 {
			if err := im.AddImportChunk(ctx, imp.ID, seq, compress(chunk[:n])); err != nil {
				return enroll.Import{}, false, err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if errors.Is(err, io.ErrUnexpectedEOF) { // a body that breaks off
			return enroll.Import{}, false, wrong("upload_broken", "the file did not arrive whole, so nothing of it was kept").WithHint("Upload it again.")
		}
		if err != nil {
			return enroll.Import{}, false, err
		}
	}
	if nature.Size == 0 {
		return enroll.Import{}, false, wrong("file_empty", "the file is empty").WithHint("Start from the sample file.")
	}
	imp.Nature, imp.Size, imp.Lines, imp.SHA256 = nature.String(), nature.Size, nature.Lines+1, hex.EncodeToString(sum.Sum(nil))
	imp, existed, err = im.FinishUpload(ctx, imp, up.Again)
	im.kick()
	return imp, existed, err
}

// fill reads until p is full. Other than io.ReadFull it keeps the end of a file
// and that of a broken connection, io.ErrUnexpectedEOF, apart.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var more int
		more, err = r.Read(p[n:])
		n += more
	}
	return n, err
}

// resolve completes options and checks them. A saved preset is laid under
// them, so that a later change of it changes no import.
func (im *Imports) resolve(ctx context.Context, o enroll.ImportOptions) (enroll.ImportOptions, error) {
	o = o.WithDefaults()
	if o.Preset != "" {
		if _, unknown := BuiltIn(o.Preset); unknown != nil {
			saved, err := im.ImportPreset(ctx, o.Preset)
			if enroll.KindOf(err) == enroll.KindNotFound {
				return o, unknown
			}
			if err != nil {
				return o, err
			}
			o = Under(o, saved)
		}
	}
	return o, o.Check()
}

func compress(data []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed) // the level exists
	w.Write(data)                                   // a buffer takes everything
	w.Close()
	return b.Bytes()
}

// chunks reads a kept file.
type chunks struct {
	ctx   context.Context
	store enroll.ImportStore
	id    string
	seq   int
	part  io.Reader
}

// Read implements io.Reader.
func (c *chunks) Read(p []byte) (int, error) {
	for {
		if c.part != nil {
			n, err := c.part.Read(p)
			if errors.Is(err, io.EOF) {
				c.part, err = nil, nil
			}
			if n > 0 || err != nil {
				return n, err
			}
			continue
		}
		data, err := c.store.ImportChunk(c.ctx, c.id, c.seq)
		if err != nil {
			return 0, err
		}
		if data == nil {
			return 0, io.EOF
		}
		c.seq++
		if c.part, err = gzip.NewReader(bytes.NewReader(data)); err != nil {
			return 0, fmt.Errorf("importer: part %d of the file: %w", c.seq, err)
		}
	}
}

// open reads the kept file of an import with its options.
func (im *Imports) open(ctx context.Context, imp enroll.Import) (*File, error) {
	return Open(&chunks{ctx: ctx, store: im.ImportStore, id: imp.ID}, imp.Nature, imp.Options, im.limits)
}

// Get is an import with the progress of the work on it.
func (im *Imports) Get(ctx context.Context, id string) (enroll.Import, error) {
	imp, err := im.Import(ctx, id)
	im.mu.Lock()
	defer im.mu.Unlock()
	if done, ours := im.done[id]; ours && err == nil && imp.State.Working() {
		imp.Done = done
	}
	return imp, err
}

// Await is Get once nobody works on the import, or after a time.
func (im *Imports) Await(ctx context.Context, id string, most time.Duration) (enroll.Import, error) {
	end := time.NewTimer(most)
	defer end.Stop()
	pause := 5 * time.Millisecond
	for {
		imp, err := im.Get(ctx, id)
		if err != nil || !imp.State.Working() {
			return imp, err
		}
		select {
		case <-ctx.Done():
			return imp, ctx.Err()
		case <-end.C:
			return imp, nil
		case <-time.After(pause):
		}
		pause = min(2*pause, 250*time.Millisecond)
	}
}

// Change gives an import other options, and has it planned anew.
func (im *Imports) Change(ctx context.Context, id string, change func(*enroll.ImportOptions) error) (enroll.Import, error) {
	imp, err := im.Import(ctx, id)
	if err != nil {
		return imp, err
	}
	o := imp.Options
	if err := change(&o); err != nil {
		return imp, err
	}
	if o, err = im.resolve(ctx, o); err != nil {
		return imp, err
	}
	f := File{Columns: imp.Columns}
	for i := min(len(imp.Options.Corrections), len(o.Corrections)); i < len(o.Corrections); i++ {
		c := &o.Corrections[i]
		column := f.columnOf(c.Column)
		if c.Line < 1 || column < 0 {
			return imp, unknownColumn(c.Line, c.Column)
		}
		c.Column = fmt.Sprintf("#%d", imp.Columns[column].Position) // one name for a cell
	}
	if o.Corrections = latest(o.Corrections); len(o.Corrections) > maxCorrections {
		return imp, tooManyCorrections()
	}
	imp, err = im.ChangeImport(ctx, id, func(imp enroll.Import) (enroll.Import, error) {
		if imp.State != enroll.ImportPlanned && imp.State != enroll.ImportFailed && imp.State != enroll.ImportUploaded && imp.State != enroll.ImportPlanning {
			return imp, enroll.Errorf(enroll.KindConflict, "import_"+string(imp.State), "the import is %s, so it cannot be changed any more", imp.State).WithHint("Upload the file again.")
		}
		imp.State, imp.Options, imp.Problem, imp.Stale, imp.Done, imp.Counts, imp.Version = enroll.ImportUploaded, o, nil, 0, 0, enroll.ImportCounts{}, imp.Version+1
		return imp, nil
	})
	im.kick()
	return imp, err
}

// latest keeps the last correction of each cell.
func latest(corrections []enroll.Correction) []enroll.Correction {
	type cell struct {
		line   int
		column string
	}
	last := map[cell]enroll.Correction{}
	for _, c := range corrections {
		last[cell{c.Line, c.Column}] = c
	}
	out := make([]enroll.Correction, 0, len(last))
	for _, c := range last {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b enroll.Correction) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return out
}

// Apply has the plan written, and waits for that for a time; the import is
// still applying then. One that is applied already is answered as it is. With
// send, enrollment requests are made when everything is written; nil: none are.
//
// Where the roll has changed since the plan was made, nothing is written: the
// import is planned anew, and the error is plan_stale, of KindConflict.
func (im *Imports) Apply(ctx context.Context, id, by string, send *enroll.Sending, wait time.Duration) (enroll.Import, error) {
	if send != nil {
		send = new(inOrder(*send))
	}
	if _, err := im.Await(ctx, id, wait); err != nil { // a plan on its way
		return enroll.Import{}, err
	}
	imp, err := im.ChangeImport(ctx, id, func(imp enroll.Import) (enroll.Import, error) {
		switch {
		case imp.State == enroll.ImportApplied || imp.State == enroll.ImportSending:
			return imp, alreadySent(imp, send)
		case imp.State == enroll.ImportFailed && imp.Problem != nil:
			return imp, enroll.Errorf(enroll.KindInvalid, imp.Problem.Code, "%s", imp.Problem.Detail).WithHint("%s", imp.Problem.Hint)
		case imp.State != enroll.ImportPlanned:
			return imp, enroll.Errorf(enroll.KindConflict, "import_"+string(imp.State), "the import is %s, so it cannot be applied", imp.State)
		case imp.Counts.Bad() > 0 && imp.Options.OnError != enroll.ErrorSkip:
			return imp, enroll.Errorf(enroll.KindConflict, "plan_has_errors", "%d of %d rows cannot be applied, so nothing was", imp.Counts.Bad(), imp.Counts.Rows).
				WithHint("Correct them, or set on_error to skip to leave them out.")
		}
		if send != nil {
			if err := sendable(imp.Options); err != nil {
				return imp, err
			}
		}
		imp.State, imp.AppliedBy, imp.Stale, imp.Done, imp.Sending = enroll.ImportApplying, by, 0, 0, send
		return imp, nil
	})
	if err != nil || imp.State != enroll.ImportApplying {
		return imp, err
	}
	im.kick()
	if imp, err = im.Await(ctx, id, wait); err != nil {
		return imp, err
	}
	switch {
	case imp.State == enroll.ImportPlanned && imp.Stale > 0:
		c := imp.Counts
		return imp, enroll.Errorf(enroll.KindConflict, "plan_stale", "%d rows of the roll had changed since the plan was made, so nothing was applied; the new plan has %d new, %d changed, %d unchanged rows and %d that cannot be applied",
			imp.Stale, c.New, c.Changed, c.Unchanged, c.Bad()).WithHint("Look at the new plan and apply it.")
	case imp.State == enroll.ImportFailed && imp.Problem != nil:
		return imp, enroll.Errorf(enroll.KindInvalid, imp.Problem.Code, "%s", imp.Problem.Detail).WithHint("%s", imp.Problem.Hint)
	}
	return imp, nil
}

// Revert undoes an applied import row by row, and waits for that for a time.
func (im *Imports) Revert(ctx context.Context, id, by string, wait time.Duration) (enroll.Import, error) {
	imp, err := im.ChangeImport(ctx, id, func(imp enroll.Import) (enroll.Import, error) {
		if imp.State != enroll.ImportApplied {
			return imp, enroll.Errorf(enroll.KindConflict, "import_"+string(imp.State), "the import is %s, so it cannot be reverted", imp.State)
		}
		imp.State, imp.RevertedBy, imp.Done = enroll.ImportReverting, by, 0
		return imp, nil
	})
	if err != nil {
		return imp, err
	}
	im.kick()
	return im.Await(ctx, id, wait)
}

// Cancel ends an import that was not applied; its file and plan go.
func (im *Imports) Cancel(ctx context.Context, id string) (enroll.Import, error) {
	return im.ChangeImport(ctx, id, func(imp enroll.Import) (enroll.Import, error) {
		switch imp.State {
		case enroll.ImportUploaded, enroll.ImportPlanning, enroll.ImportPlanned, enroll.ImportFailed, enroll.ImportCancelled:
			imp.State = enroll.ImportCancelled
			return imp, nil
		}
		hint := "Wait for its end; it can be reverted then."
		if imp.State == enroll.ImportApplied {
			hint = "Revert it instead."
		}
		return imp, enroll.Errorf(enroll.KindConflict, "import_"+string(imp.State), "the import is %s, so it cannot be cancelled", imp.State).WithHint("%s", hint)
	})
}
