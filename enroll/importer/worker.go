package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"time"

	"rollcall/enroll"
)

const (
	workers      = 2
	lease        = 30 * time.Second
	heartbeat    = time.Second
	lookInterval = 5 * time.Second // for work of servers that died
	planBatch    = 1000
	staleUpload  = time.Hour
)

// Run works on imports until ctx ends.
func (im *Imports) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for range workers {
		all.Go(func() { im.work(ctx) })
	}
	all.Wait()
	return nil
}

func (im *Imports) kick() {
	select {
	case im.wake <- struct{}{}:
	default:
	}
}

func (im *Imports) work(ctx context.Context) {
	name := enroll.NewID()
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for ctx.Err() == nil {
		if _, err := im.DropUploads(ctx, im.now().Add(-staleUpload)); err != nil && ctx.Err() == nil {
			im.log.WarnContext(ctx, "broken uploads not removed", "error", err)
		}
		for im.step(ctx, name) {
			im.kick() // the other worker may have more
		}
		select {
		case <-ctx.Done():
		case <-im.wake:
		case <-tick.C:
		}
	}
}

// step does what is next, and says whether there was anything.
func (im *Imports) step(ctx context.Context, name string) bool {
	imp, ok, err := im.ClaimImport(ctx, name, time.Now(), lease)
	if err != nil && ctx.Err() == nil {
		im.log.WarnContext(ctx, "no import claimed", "error", err)
	}
	if err != nil || !ok {
		return false
	}
	l := enroll.ImportLease{ImportID: imp.ID, Worker: name}
	started := time.Now()
	err = im.leased(ctx, l, func(ctx context.Context) error {
		switch imp.State {
		case enroll.ImportPlanning:
			return im.plan(ctx, l, imp)
		case enroll.ImportApplying:
			_, err := im.ApplyImport(enroll.WithActor(ctx, imp.AppliedBy), l, im.now().UTC(), func(done int) { im.report(imp.ID, done) })
			return err
		case enroll.ImportSending:
			return im.send(enroll.WithActor(ctx, imp.Sending.By), l, imp)
		default:
			return im.RevertImport(enroll.WithActor(ctx, imp.RevertedBy), l, im.now().UTC(), func(done int) { im.report(imp.ID, done) })
		}
	})
	switch kind := enroll.KindOf(err); {
	case err == nil:
		im.log.InfoContext(ctx, "import worked on", "import", imp.ID, "step", string(imp.State), "took", time.Since(started))
	case errors.Is(err, enroll.ErrLeaseLost) || ctx.Err() != nil:
	case kind == enroll.KindUnavailable:
		im.log.WarnContext(ctx, "import put off", "import", imp.ID, "step", string(imp.State), "error", err)
		return false // its lease ends by itself
	default:
		im.log.ErrorContext(ctx, "import failed", "import", imp.ID, "step", string(imp.State), "error", err)
		im.fail(ctx, imp)
	}
	return ctx.Err() == nil
}

// leased runs a step while its lease is renewed, and ends it when that fails.
func (im *Imports) leased(ctx context.Context, l enroll.ImportLease, run func(context.Context) error) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	im.report(l.ImportID, 0)
	var beat sync.WaitGroup
	beat.Go(func() {
		tick := time.NewTicker(heartbeat)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			im.mu.Lock()
			done := im.done[l.ImportID]
			im.mu.Unlock()
			if err := im.HoldImport(ctx, l, done, time.Now().Add(lease)); errors.Is(err, enroll.ErrLeaseLost) {
				cancel(err)
			}
		}
	})
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
		if cause := context.Cause(ctx); err != nil && errors.Is(cause, enroll.ErrLeaseLost) {
			err = cause
		}
		cancel(nil)
		beat.Wait()
		im.mu.Lock()
		delete(im.done, l.ImportID)
		im.mu.Unlock()
	}()
	return run(ctx)
}

func (im *Imports) report(id string, done int) {
	im.mu.Lock()
	im.done[id] = done
	im.mu.Unlock()
}

// plan reads the file and plans its rows. What is wrong with the file as a
// whole becomes the import's problem.
func (im *Imports) plan(ctx context.Context, l enroll.ImportLease, imp enroll.Import) error {
	if err := im.BeginPlan(ctx, l); err != nil {
		return err
	}
	f, err := im.open(ctx, imp)
	if f != nil {
		imp.Charset, imp.Delimiter, imp.Columns = f.Charset, f.Delimiter, f.Columns
	}
	if err == nil {
		err = im.planRows(ctx, l, imp.Options, f)
	}
	var known *enroll.Error
	switch {
	case errors.As(err, &known) && known.Kind == enroll.KindInvalid:
		imp.Problem = &enroll.ImportProblem{Code: known.Code, Detail: known.Text, Hint: known.Hint}
	case err != nil:
		return err
	default:
		imp.Problem = nil
	}
	imp.PlannedAt = im.now().UTC()
	return im.FinishPlan(ctx, l, imp)
}

func (im *Imports) planRows(ctx context.Context, l enroll.ImportLease, o enroll.ImportOptions, f *File) error {
	batch := make([]enroll.ImportRow, 0, planBatch)
	for done := 0; ; {
		row, err := f.Next()
		end := errors.Is(err, io.EOF)
		if err != nil && !end {
			return err
		}
		if !end {
			batch = append(batch, row)
		}
		if len(batch) == planBatch || end && len(batch) > 0 {
			if err := im.PlanRows(ctx, l, o, batch, im.now().UTC()); err != nil {
				return err
			}
			done += len(batch)
			im.report(l.ImportID, done)
			batch = batch[:0]
		}
		if end {
			return nil
		}
	}
}

// fail ends a step that would fail again.
func (im *Imports) fail(ctx context.Context, imp enroll.Import) {
	_, err := im.ChangeImport(ctx, imp.ID, func(now enroll.Import) (enroll.Import, error) {
		if now.State != imp.State {
			return now, enroll.ErrLeaseLost
		}
		now.State = enroll.ImportFailed
		now.Problem = &enroll.ImportProblem{Code: "internal", Detail: "The server failed to do this, so nothing was changed.", Hint: "The server's log says why."}
		switch imp.State {
		case enroll.ImportReverting:
			now.State = enroll.ImportApplied // as it is, since nothing was undone
		case enroll.ImportSending:
			now.State = enroll.ImportApplied
			now.Problem.Detail = "The server failed to make the other enrollment requests."
		}
		return now, nil
	})
	if err != nil && !errors.Is(err, enroll.ErrLeaseLost) {
		im.log.ErrorContext(ctx, "failure of an import not noted", "import", imp.ID, "error", err)
	}
}
