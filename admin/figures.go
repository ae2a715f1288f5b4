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

// Cohorts are those of all days, newest first.
type Cohorts struct {
	At   time.Time
	Days []Cohort
}

// ToPolicy is how long an enrolled device took to have its whole policy for
// the first time.
type ToPolicy struct {
	At   time.Time
	Took time.Duration
}

// FigureStore counts as of now, and back to since, which begins a day.
type FigureStore interface {
	// Figures counts attempts back to another day, which may be later.
	Figures(ctx context.Context, now, since, attempts time.Time) (Figures, error)
	// Cohorts looks at every row that was put on the roll since, which takes
	// longer.
	Cohorts(ctx context.Context, now, since time.Time) (Cohorts, error)
}

// FigureKeeper keeps figures at hand: they are counted anew for who asks as
// long as that is quick, and in the background always.
type FigureKeeper struct {
	store   FigureStore
	figures kept[Figures]
	cohorts kept[Cohorts]

	// Attempts of days that are over do not change: they are counted once a
	// day. Both belong to the count under way.
	over   []Attempts
	before time.Time // the day that over ends with
}

// NewFigureKeeper makes a keeper; quick is how long somebody waits for a count.
func NewFigureKeeper(store FigureStore, quick time.Duration, now func() time.Time, log *slog.Logger) *FigureKeeper {
	k := &FigureKeeper{store: store}
	k.figures, k.cohorts = newKept(k.count, quick, now, log), newKept(store.Cohorts, quick, now, log)
	return k
}

// count counts the attempts of yesterday again: some are written down after
// midnight.
func (k *FigureKeeper) count(ctx context.Context, now, since time.Time) (Figures, error) {
	yesterday := firstDay(now, 2)
	known := k.before.Equal(yesterday)
	from := since
	if known {
		from = yesterday
	}
	f, err := k.store.Figures(ctx, now, since, from)
	if err != nil {
		return f, err
	}
	if known {
		f.Attempts = append(f.Attempts, k.over...)
		return f, nil
	}
	k.over, k.before = nil, yesterday
	for _, a := range f.Attempts {
		if a.Day.Before(yesterday) {
			k.over = append(k.over, a)
		}
	}
	return f, nil
}

// Run counts in the background until ctx ends.
func (k *FigureKeeper) Run(ctx context.Context) error {
	var both sync.WaitGroup
	both.Go(func() { k.figures.run(ctx) })
	both.Go(func() { k.cohorts.run(ctx) })
	both.Wait()
	return nil
}

// Figures gives figures; At says of when they are. Where a count does not end in
// a moment, or would not, those of the last one are given.
func (k *FigureKeeper) Figures(ctx context.Context) (Figures, error) { return k.figures.get(ctx) }

// Cohorts gives cohorts likewise.
func (k *FigureKeeper) Cohorts(ctx context.Context) (Cohorts, error) { return k.cohorts.get(ctx) }

const (
	figuresAge = time.Minute // between two counts in the background
	// figuresShare bounds what counting costs: it rests so many times as long as
	// it took.
	figuresShare = 30
	// hopeless is how many times the moment that somebody waits a count has
	// taken that is not worth trying.
	hopeless = 10
)

// kept is what was counted last.
type kept[T any] struct {
	countAt func(ctx context.Context, now, since time.Time) (T, error)
	quick   time.Duration
	now     func() time.Time
	log     *slog.Logger

	counting chan struct{} // holds one token: one count at a time
	mu       *sync.Mutex
	last     *T        // nil: nothing yet
	began    time.Time // when the last count began
	cost     time.Duration
}

func newKept[T any](count func(ctx context.Context, now, since time.Time) (T, error), quick time.Duration, now func() time.Time, log *slog.Logger) kept[T] {
	return kept[T]{countAt: count, quick: quick, now: now, log: log, counting: make(chan struct{}, 1), mu: new(sync.Mutex)}
}

func (k *kept[T]) state() (last *T, began time.Time, cost time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.last, k.began, k.cost
}

func (k *kept[T]) run(ctx context.Context) {
	for {
		if _, err := k.count(ctx); err != nil && ctx.Err() == nil {
			k.log.WarnContext(ctx, "figures of the overview not counted", "error", err)
		}
		_, _, cost := k.state()
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(figuresAge, figuresShare*cost)):
		}
	}
}

func (k *kept[T]) get(ctx context.Context) (T, error) {
	last, _, cost := k.state()
	switch {
	case last == nil:
		return k.count(ctx)
	case cost > hopeless*k.quick:
		return *last, nil
	}
	brief, end := context.WithTimeout(ctx, k.quick)
	defer end()
	fresh, err := k.count(brief)
	if err != nil && brief.Err() != nil && ctx.Err() == nil {
		return *last, nil
	}
	return fresh, err
}

// count counts, or takes what another one began to count later than this was
// asked for.
func (k *kept[T]) count(ctx context.Context) (T, error) {
	asked := time.Now()
	select {
	case k.counting <- struct{}{}:
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
	defer func() { <-k.counting }()
	if last, began, _ := k.state(); began.After(asked) {
		return *last, nil
	}
	now := k.now().UTC()
	began := time.Now()
	fresh, err := k.countAt(ctx, now, firstDay(now, MaxFigureDays))
	if err != nil {
		return fresh, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last, k.began, k.cost = &fresh, began, time.Since(began)
	return fresh, nil
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
