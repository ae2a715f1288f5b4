package admin

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"rollcall/enroll"
)

// MaxFigureDays is how far back figures go.
const MaxFigureDays = 90

// Figures are what the overview counts, for any number of days up to
// MaxFigureDays. Days are those of UTC.
type Figures struct {
	At       time.Time
	States   map[enroll.State]int // devices by the state an admin sees
	Expiring int                  // devices that have not enrolled and expire within ExpiringSoon
	Attempts []Attempts           // newest day first
	Cohorts  []Cohort             // newest day first
	ToPolicy []ToPolicy           // newest first, MaxToPolicy at most
}

// ExpiringSoon is how long before its end a row of the roll counts as expiring.
const ExpiringSoon = 30 * 24 * time.Hour

// MaxToPolicy is of how many devices the time to policy is looked at.
const MaxToPolicy = 10_000

// Attempts counts the decisions of a day with one code.
type Attempts struct {
	Day     time.Time
	Outcome enroll.Outcome
	Code    enroll.Code
	Count   int
}

// Cohort is what became of the devices that were put on the roll on a day.
// Devices that came by themselves are not among them.
type Cohort struct {
	Day       time.Time
	Imported  int // put on the roll, by whatever way
	Invited   int // had an enrollment request
	Opened    int // whose request was opened
	Admitted  int // let in by the gate
	CheckedIn int // enrolled at least once
	Complete  int // had their whole policy at least once
}

// ToPolicy is how long an enrolled device took to have its whole policy for
// the first time.
type ToPolicy struct {
	At   time.Time
	Took time.Duration
}

// FigureStore counts.
type FigureStore interface {
	// Figures counts as of now; attempts, cohorts and times go back to since,
	// the beginning of a day.
	Figures(ctx context.Context, now, since time.Time) (Figures, error)
}

// FigureKeeper keeps figures at hand: they are counted anew for who asks as
// long as that is quick, and in the background always.
type FigureKeeper struct {
	store FigureStore
	quick time.Duration
	now   func() time.Time
	log   *slog.Logger

	counting chan struct{} // holds one token: one count at a time
	mu       sync.Mutex
	last     Figures
	began    time.Time // when the last count began
	cost     time.Duration
}

// NewFigureKeeper makes a keeper; quick is how long somebody waits for a count.
func NewFigureKeeper(store FigureStore, quick time.Duration, now func() time.Time, log *slog.Logger) *FigureKeeper {
	return &FigureKeeper{store: store, quick: quick, now: now, log: log, counting: make(chan struct{}, 1)}
}

const (
	figuresAge = time.Minute // of figures that are not quick to count
	// figuresShare bounds what counting costs: it rests so many times as long as
	// it took.
	figuresShare = 30
	// hopeless is how many times the moment that somebody waits a count has
	// taken that is not worth trying.
	hopeless = 10
)

// Run counts in the background until ctx ends.
func (k *FigureKeeper) Run(ctx context.Context) error {
	for {
		if _, err := k.count(ctx); err != nil && ctx.Err() == nil {
			k.log.WarnContext(ctx, "figures of the overview not counted", "error", err)
		}
		k.mu.Lock()
		rest := max(figuresAge, figuresShare*k.cost)
		k.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(rest):
		}
	}
}

// Figures gives figures; At says of when they are. Where a count does not end in
// a moment, or would not, those of the last one are given.
func (k *FigureKeeper) Figures(ctx context.Context) (Figures, error) {
	k.mu.Lock()
	last, cost := k.last, k.cost
	k.mu.Unlock()
	switch {
	case last.At.IsZero():
		return k.count(ctx)
	case cost > hopeless*k.quick:
		return last, nil
	}
	brief, end := context.WithTimeout(ctx, k.quick)
	defer end()
	f, err := k.count(brief)
	if err != nil && brief.Err() != nil && ctx.Err() == nil {
		return last, nil
	}
	return f, err
}

// count counts, or takes what another one began to count later than this was
// asked for.
func (k *FigureKeeper) count(ctx context.Context) (Figures, error) {
	asked := time.Now()
	select {
	case k.counting <- struct{}{}:
	case <-ctx.Done():
		return Figures{}, ctx.Err()
	}
	defer func() { <-k.counting }()
	began := time.Now()
	if last, at := k.begun(); at.After(asked) {
		return last, nil
	}
	now := k.now().UTC()
	f, err := k.store.Figures(ctx, now, firstDay(now, MaxFigureDays))
	if err != nil {
		return Figures{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last, k.began, k.cost = f, began, time.Since(began)
	return f, nil
}

func (k *FigureKeeper) begun() (Figures, time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.last, k.began
}

// firstDay is the first of so many days, of which today is the last.
func firstDay(now time.Time, days int) time.Time {
	return now.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1-days)
}

// toPolicy gives quantiles of the time to policy since a time.
func (f Figures) toPolicy(since time.Time, quantiles ...float64) (devices int, took []time.Duration) {
	var all []time.Duration
	for _, t := range f.ToPolicy {
		if !t.At.Before(since) {
			all = append(all, t.Took)
		}
	}
	slices.Sort(all)
	took = make([]time.Duration, len(quantiles))
	for i, q := range quantiles {
		if len(all) > 0 {
			took[i] = all[int(q*float64(len(all)-1)+0.5)]
		}
	}
	return len(all), took
}
