package dep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"rollcall/dep/cloud"
	"rollcall/enroll"
)

const (
	syncInterval = 30 * time.Minute // Apple asks for no more often
	lookInterval = 10 * time.Second // for accounts that another replica made due
	syncLease    = 2 * time.Minute
	heartbeat    = 20 * time.Second
	cursorLife   = 7 * 24 * time.Hour
	release      = 2 * time.Second // for giving an account back
	firstRetry   = time.Minute
	lastRetry    = time.Hour
	workers      = 2    // accounts at once
	pageSize     = 1000 // devices; less where Apple says so
	maxPages     = 10_000
	moveGrace    = time.Hour // a row waits so long for its device to show up in another account
)

// Syncer keeps accounts up to date: devices, the roll, profiles and who has
// them. Any number of replicas may run one.
type Syncer struct {
	Store  SyncStore
	Clouds *Clouds
	// Public is the public URL of this server, Anchor the certificate (DER) that
	// devices are to trust it by; nil: one they trust already.
	Public string
	Anchor []byte
	Now    func() time.Time
	Log    *slog.Logger

	once sync.Once
	wake chan struct{}
}

func (s *Syncer) init() {
	s.once.Do(func() {
		s.wake = make(chan struct{}, workers)
		if s.Now == nil {
			s.Now = time.Now
		}
		if s.Log == nil {
			s.Log = slog.Default()
		}
	})
}

// Kick lets workers look for accounts that are due.
func (s *Syncer) Kick() {
	s.init()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run works until ctx ends.
func (s *Syncer) Run(ctx context.Context) error {
	s.init()
	var all sync.WaitGroup
	for range workers {
		all.Go(func() { s.work(ctx) })
	}
	all.Wait()
	return nil
}

func (s *Syncer) work(ctx context.Context) {
	name := enroll.NewID()
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for ctx.Err() == nil {
		for s.Step(ctx, name) {
		}
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-tick.C:
		}
	}
}

// Step brings one account up to date, and says whether one was due. Run calls
// it, under a name that no other worker has.
func (s *Syncer) Step(ctx context.Context, worker string) bool {
	s.init()
	a, ok, err := s.Store.ClaimAccount(ctx, worker, s.Now().UTC(), syncLease)
	if err != nil && ctx.Err() == nil {
		s.Log.WarnContext(ctx, "no DEP account claimed", "error", err)
	}
	if err != nil || !ok {
		return false
	}
	l := Lease{AccountID: a.ID, Worker: worker}
	r := &run{Syncer: s, Lease: l, account: a, at: s.Now().UTC()}
	started := time.Now()
	err = s.leased(ctx, l, r.all)
	if ctx.Err() != nil { // another worker goes on at once, from what is committed
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), release)
		defer cancel()
		if err := s.Store.HoldAccount(ctx, l, s.Now().UTC()); err != nil && !errors.Is(err, enroll.ErrLeaseLost) {
			s.Log.WarnContext(ctx, "a DEP account not given back; its lease ends by itself", "account", a.ID, "error", err)
		}
		return false
	}
	if errors.Is(err, enroll.ErrLeaseLost) {
		return true
	}
	end := r.end(err)
	if err != nil {
		s.Log.WarnContext(ctx, "DEP account not brought up to date", "account", a.ID, "failures", end.Failures, "next", end.DueAt, "error", err)
	} else {
		s.Log.InfoContext(ctx, "DEP account brought up to date", "account", a.ID, "pages", r.pages, "devices", r.devices, "assigned", r.assigned, "took", time.Since(started))
	}
	if err := s.Store.FinishRun(ctx, l, end); err != nil && !errors.Is(err, enroll.ErrLeaseLost) && ctx.Err() == nil {
		s.Log.WarnContext(ctx, "end of a DEP run not noted; its lease ends by itself", "account", a.ID, "error", err)
	}
	return true
}

// leased runs a step while its lease is renewed, and ends it when that fails.
func (s *Syncer) leased(ctx context.Context, l Lease, do func(context.Context) error) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
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
			if err := s.Store.HoldAccount(ctx, l, s.Now().UTC().Add(syncLease)); errors.Is(err, enroll.ErrLeaseLost) {
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
	}()
	return do(ctx)
}

// run is one run over an account.
type run struct {
	*Syncer
	Lease
	account  Account
	at       time.Time
	cloud    *cloud.Client
	says     *cloud.Account
	problem  *Problem  // of a profile, which does not keep the rest from going on
	due      time.Time // sooner than the next regular run; zero: not
	pages    int
	devices  int
	assigned int
}

// all is what there is to do, in order. Whatever fails leaves behind what was
// committed before, and the next run goes on from there.
func (r *run) all(ctx context.Context) (err error) {
	ctx = enroll.WithActor(ctx, "DEP: "+r.account.Name)
	if r.cloud, err = r.Clouds.of(ctx, r.account); err != nil {
		return err
	}
	says, err := r.cloud.Account(ctx)
	if err != nil {
		return err
	}
	r.says = &says
	if err := r.sync(ctx); err != nil {
		return err
	}
	if err := r.define(ctx); err != nil {
		return err
	}
	return r.assign(ctx)
}

// end words how a run ended, and says when the next one is due.
func (r *run) end(err error) Run {
	now := r.Now().UTC()
	out := Run{Apple: r.says, At: now, Done: err == nil, Problem: r.problem, DueAt: now.Add(syncInterval)}
	if err == nil {
		if !r.due.IsZero() && r.due.Before(out.DueAt) {
			out.DueAt = r.due
		}
		return out
	}
	out.Failures = r.account.Sync.Failures + 1
	wait := min(firstRetry<<min(out.Failures-1, 10), lastRetry)
	var apple *cloud.Error
	if errors.As(err, &apple) {
		if apple.Lasting() {
			wait = lastRetry
		}
		if apple.RetryAfter > 0 {
			wait = apple.RetryAfter // the whole account waits for what Apple asks for
		}
	}
	out.DueAt = now.Add(wait)
	var known *enroll.Error
	if errors.As(err, &known) {
		out.Problem = &Problem{Code: known.Code, Text: known.Text, Hint: known.Hint, Since: now}
	} else {
		out.Problem = &Problem{Code: "internal", Text: "The server failed to bring the account up to date.", Hint: "The server's log says why.", Since: now}
	}
	return out
}

// sync takes pages until there are no more. A cursor that Apple does not take
// any more, or that is too old to be asked about, makes it a full list once.
func (r *run) sync(ctx context.Context) error {
	state, begun := r.account.Sync, false
	if state.Cursor != "" && r.at.Sub(state.CursorAt) >= cursorLife || state.Cursor == "" && !state.Full {
		var err error
		if state, err = r.Store.StartFull(ctx, r.Lease); err != nil {
			return err
		}
		begun = true
	}
	limit := min(pageSize, r.says.MaxPerCall(cloud.PathDevices), r.says.MaxPerCall(cloud.PathSync))
	for {
		if r.pages++; r.pages > maxPages {
			return &cloud.Error{Call: "sync", Code: cloud.BadAnswer, Detail: "its pages do not end"}
		}
		page, err := r.page(ctx, state, limit)
		var apple *cloud.Error
		switch {
		case errors.As(err, &apple) && apple.Code == cloud.ExhaustedCursor && state.Cursor != "":
			page, err = cloud.Page{Cursor: state.Cursor}, nil
		case errors.As(err, &apple) && !begun && slices.Contains([]cloud.Code{cloud.ExpiredCursor, cloud.InvalidCursor, cloud.CursorRequired}, apple.Code):
			if state, err = r.Store.StartFull(ctx, r.Lease); err != nil {
				return err
			}
			begun = true
			continue
		}
		if err != nil {
			return err
		}
		now := r.Now().UTC()
		listed := len(page.Devices)
		page.Devices = latest(page.Devices)
		if err := r.Store.SavePage(ctx, r.Lease, page, state.Full, now); err != nil {
			return err
		}
		r.devices += len(page.Devices)
		if len(page.Devices) < listed {
			r.Log.DebugContext(ctx, "repeats or unusable serials in a page of DEP", "account", r.AccountID, "listed", listed, "taken", len(page.Devices))
		}
		state.Cursor, state.CursorAt = page.Cursor, now
		if !page.More && state.Full {
			if err := r.sweep(ctx); err != nil {
				return err
			}
		}
		if err := r.settle(ctx); err != nil {
			return err
		}
		if !page.More {
			return nil
		}
	}
}

func (r *run) page(ctx context.Context, state SyncState, limit int) (cloud.Page, error) {
	if state.Full {
		return r.cloud.Fetch(ctx, state.Cursor, limit)
	}
	return r.cloud.Sync(ctx, state.Cursor, limit)
}

func (r *run) sweep(ctx context.Context) error {
	for {
		more, err := r.Store.SweepDevices(ctx, r.Lease, pageSize, r.Now().UTC())
		if err != nil || !more {
			return err
		}
	}
}

func (r *run) settle(ctx context.Context) error {
	for {
		now := r.Now().UTC()
		more, err := r.Store.SettleRoll(ctx, r.Lease, pageSize, now.Add(-moveGrace), now)
		if err != nil || !more {
			return err
		}
	}
}

// latest keeps the last word on each serial: the newest operation, and of two
// at once the deletion. Serials that no device has are left out.
func latest(list []cloud.Device) []cloud.Device {
	at := make(map[string]int, len(list))
	out := make([]cloud.Device, 0, len(list))
	for _, d := range list {
		d.Serial = enroll.NormalizeSerial(d.Serial)
		if enroll.CheckSerial(d.Serial) != nil {
			continue
		}
		i, repeated := at[d.Serial]
		switch {
		case !repeated:
			at[d.Serial] = len(out)
			out = append(out, d)
		case d.OpDate.After(out[i].OpDate.Time), d.OpDate.Equal(out[i].OpDate.Time) && out[i].OpType != cloud.Deleted:
			out[i] = d
		}
	}
	return out
}

// define tells Apple the versions of profiles that it does not know. What
// Apple refuses waits for an admin; the version before stays in use.
func (r *run) define(ctx context.Context) error {
	list, err := r.Store.Definitions(ctx, r.AccountID)
	if err != nil {
		return err
	}
	for _, d := range list {
		if d.Profile.Problem != nil {
			r.refused(d.Profile.Name, *d.Profile.Problem)
			continue
		}
		now := r.Now().UTC()
		uuid, err := r.cloud.DefineProfile(ctx, d.Profile.told(r.Public, d.Secret, r.Anchor))
		var apple *cloud.Error
		var public *enroll.Error
		switch {
		case errors.As(err, &apple) && apple.Status == http.StatusBadRequest && errors.As(err, &public):
			why := Problem{Code: public.Code, Text: public.Text, Since: now}
			r.refused(d.Profile.Name, why)
			err = r.Store.DefinitionRefused(ctx, r.Lease, d.Profile.ID, d.Profile.Version, why)
		case err == nil:
			err = r.Store.Defined(ctx, r.Lease, d.Profile.ID, d.Profile.Version, uuid, now)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// refused makes a profile that Apple does not take the account's problem, until
// an admin has changed it.
func (r *run) refused(profile string, why Problem) {
	if r.problem == nil {
		r.problem = &Problem{Code: "ade_profile_refused", Text: fmt.Sprintf("Apple refused the profile %q: %s", profile, why.Text), Hint: "Change the profile.", Since: why.Since}
	}
}

// wants says which UUID each family should have.
func (r *run) wants(ctx context.Context) (Wants, error) {
	uuids, err := r.Store.UUIDs(ctx, r.AccountID)
	if err != nil {
		return Wants{}, err
	}
	of := func(profileID string) string {
		if uuid := uuids[profileID]; uuid != "" || profileID == "" {
			return uuid
		}
		return Undecided
	}
	w := Wants{Families: map[Family]string{}, Other: of(r.account.Default.ProfileID)}
	for _, f := range Families {
		w.Families[f] = of(r.account.For(f).ProfileID)
	}
	return w, nil
}

// assign gives devices the profile they should have. It goes by what Apple said
// of each device last and not by what happened: a first list tells no
// operations, and Apple drops assignments without saying why.
func (r *run) assign(ctx context.Context) error {
	w, err := r.wants(ctx)
	if err != nil {
		return err
	}
	limit := min(pageSize, r.says.MaxPerCall(cloud.PathProfileDevices))
	for after := ""; ; {
		list, err := r.Store.ToAssign(ctx, r.AccountID, w, after, r.Now().UTC(), limit)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			break
		}
		after = list[len(list)-1].Serial
		byUUID := map[string][]Wanted{}
		for _, d := range list {
			byUUID[d.UUID] = append(byUUID[d.UUID], d)
		}
		for uuid, devices := range byUUID {
			if err := r.assignOne(ctx, uuid, devices); err != nil {
				return err
			}
		}
	}
	if r.due, err = r.Store.NextAttempt(ctx, r.AccountID, w); err != nil || r.due.IsZero() {
		return err
	}
	if soonest := r.Now().UTC().Add(time.Second); r.due.Before(soonest) {
		r.due = soonest
	}
	return nil
}

func (r *run) assignOne(ctx context.Context, uuid string, devices []Wanted) error {
	serials := make([]string, len(devices))
	for i, d := range devices {
		serials[i] = d.Serial
	}
	var answer cloud.Assignment
	var err error
	if uuid == "" {
		answer, err = r.cloud.Unassign(ctx, serials)
	} else {
		answer, err = r.cloud.Assign(ctx, uuid, serials)
	}
	var apple *cloud.Error
	if errors.As(err, &apple) && uuid != "" && (apple.Status == http.StatusNotFound || apple.Code == cloud.NotFound || apple.Code == "PROFILE_NOT_FOUND") {
		err = errors.Join(err, r.Store.Undefine(ctx, r.Lease, uuid)) // the next run defines it again
	}
	if err != nil {
		return err
	}
	now := r.Now().UTC()
	done := make([]Assigned, len(devices))
	for i, d := range devices {
		o := answer.Outcomes[d.Serial]
		done[i] = Assigned{Serial: d.Serial, UUID: uuid, Outcome: o}
		if o != cloud.OutcomeSuccess {
			done[i].RetryAt = now.Add(patience(o, d.Attempts, answer.RetryAfter))
		} else {
			r.assigned++
		}
	}
	return r.Store.SaveAssigned(ctx, r.Lease, done, now)
}

// patience is how long to wait after an outcome that is no success.
func patience(o cloud.Outcome, attempts int, asked time.Duration) time.Duration {
	if o == cloud.OutcomeThrottled {
		if asked > 0 {
			return asked
		}
		return firstRetry
	}
	return min(firstRetry<<min(attempts, 12), 6*time.Hour)
}
