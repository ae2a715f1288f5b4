package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"time"
)

// part is a group of figures that are measured together.
type part string

const (
	partEnroll      part = "enroll"
	partIdle        part = "idle"
	partAcknowledge part = "acknowledge"
	partFirst       part = "first"
	partPush        part = "push"
	partImport      part = "import"
	partFile        part = "file"
	partGate        part = "gate"
	partList        part = "list"
	partExport      part = "export"
	partConsole     part = "console"
	partPolicy      part = "policy"
	partADE         part = "ade"
	partDEP         part = "dep"
	partAMAPI       part = "amapi"
	partAgent       part = "agent"
)

// scale is how much of everything.
type scale struct {
	Runs      int
	Keys      int // RSA keys that all phones share
	Phones    int // in an enrollment run; the first run's go on to connect
	Load      time.Duration
	Warm      time.Duration // before Load
	Peer      []int         // further numbers of workers, for the comparison
	PeerLoad  time.Duration
	Past      int // finished commands of each phone
	Commands  int // for each phone in an acknowledge run
	Pushes    int
	Import    int // rows of the CSV file
	File      int // bytes of a large CSV file, of as many rows
	Roll      int // rows that the gate and the lists look at
	Decisions int
	Pages     int // read of each list
	Visits    int // of each page of the console
	Managed   int // enrolled devices of a policy
	Listed    int // devices of a DEP account
	Changed   int // that Apple adds to it
	Waiting   int // agents that wait for a wake
}

// The scales of a whole measurement and of a look whether everything works.
var (
	whole = scale{Runs: 3, Keys: 16, Phones: 200, Load: 5 * time.Second, Warm: time.Second, Peer: []int{1, 4, 128}, PeerLoad: 2 * time.Second,
		Past: 10_000, Commands: 40, Pushes: 20_000, Import: 100_000, File: 64 << 20, Roll: 1_000_000, Decisions: 2_000, Pages: 20, Visits: 20, Managed: 10_000, Listed: 100_000, Changed: 1_000, Waiting: 10_000}
	quick = scale{Runs: 1, Keys: 8, Phones: 24, Load: time.Second, Warm: 200 * time.Millisecond, Peer: []int{1}, PeerLoad: 500 * time.Millisecond,
		Past: 500, Commands: 25, Pushes: 1_000, Import: 2_000, File: 1 << 20, Roll: 50_000, Decisions: 300, Pages: 5, Visits: 5, Managed: 500, Listed: 5_000, Changed: 200, Waiting: 300}
)

// wholeTimeout ends a measurement that hangs.
const wholeTimeout = 25 * time.Minute

// Measure is the command that measures.
type Measure struct {
	Write  string   `help:"File for the document; default: standard output." type:"path"`
	Quick  bool     `help:"A look whether everything works, in under a minute. The figures mean little."`
	Engine []string `help:"Databases to measure on." enum:"postgres,sqlite" default:"postgres,sqlite"`
	Only   []string `help:"Parts to measure; default: all." enum:"enroll,idle,acknowledge,first,push,import,file,gate,list,export,console,policy,ade,dep,agent,amapi"`
	Runs   int      `help:"Runs of each part, instead of the usual number." hidden:""`
	Keep   string   `help:"Folder to keep CPU profiles of every part in." type:"path" hidden:""`

	scale    *scale    // of a test
	progress io.Writer // default: standard error
}

// Run implements the command.
func (m *Measure) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, wholeTimeout)
	defer cancel()
	// The gate and the store log to the default logger.
	before := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	defer slog.SetDefault(before)

	report, err := m.measure(ctx)
	if err != nil {
		return err
	}
	if m.Write == "" {
		return report.write(os.Stdout)
	}
	f, err := os.Create(m.Write)
	if err != nil {
		return err
	}
	return errors.Join(report.write(f), f.Close())
}

func (m *Measure) measure(ctx context.Context) (*report, error) {
	s := whole
	if m.Quick {
		s = quick
	}
	if m.scale != nil {
		s = *m.scale
	}
	if m.Runs > 0 {
		s.Runs = m.Runs
	}
	r := &report{Scale: s, Machine: thisMachine(), Command: "make bench", Started: time.Now()}
	if m.Quick || m.scale != nil || len(m.Only) > 0 || len(m.Engine) < 2 {
		r.Command = "rollcall bench, in part"
	}
	if m.progress == nil {
		m.progress = os.Stderr
	}
	for _, name := range m.Engine {
		result, err := m.on(ctx, name, s)
		if err != nil {
			return nil, fmt.Errorf("bench on %s: %w", name, err)
		}
		r.Results = append(r.Results, result)
	}
	r.Took = time.Since(r.Started)
	return r, nil
}

// result is what was measured on one engine.
type result struct {
	Engine   string
	Version  string
	Figures  map[figure]series
	Costs    map[part]cost
	Peer     map[int]load // Idle by number of workers
	Profiles map[part]string
	Visits   []visit           // of the console's pages, the slowest first
	Slowest  map[figure]string // what a figure is that of, where many were looked at
}

// cost is what one operation of a part takes of the CPUs.
type cost struct {
	usage
	Count int
}

// wants says whether a part is measured.
func (m *Measure) wants(p part) bool { return len(m.Only) == 0 || slices.Contains(m.Only, string(p)) }

func (m *Measure) on(ctx context.Context, name string, s scale) (*result, error) {
	dir, err := os.MkdirTemp("", "rollcall-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	e, err := startEngine(name, dir)
	if err != nil {
		return nil, err
	}
	defer e.stop()
	b := &bench{Measure: m, scale: s, engine: e, dir: dir,
		result: &result{Engine: name, Figures: map[figure]series{}, Costs: map[part]cost{}, Peer: map[int]load{}, Profiles: map[part]string{}, Slowest: map[figure]string{}}}
	if err := errors.Join(b.withServer(ctx), b.withRoll(ctx), b.withPolicy(ctx), b.withDEP(ctx), b.withAMAPI(ctx)); err != nil {
		return nil, err
	}
	return b.result, nil
}

// bench is a measurement on one engine.
type bench struct {
	*Measure
	scale  scale
	engine *engine
	dir    string
	result *result

	profiling string // file of the CPU profile of the timed part; empty: none
}

// step measures a part.
type step struct {
	part    part
	measure func(context.Context) error
}

// withServer measures what a server answers whose roll is small.
func (b *bench) withServer(ctx context.Context) error {
	if !slices.ContainsFunc([]part{partEnroll, partIdle, partAcknowledge, partFirst, partPush, partImport, partFile, partAgent}, b.wants) {
		return nil
	}
	s, err := b.open(ctx, "rollcall_bench")
	if err != nil {
		return err
	}
	defer s.close()
	if b.result.Version, err = s.db.look(ctx); err != nil {
		return err
	}
	if !b.wants(partEnroll) && slices.ContainsFunc([]part{partIdle, partAcknowledge, partFirst, partPush}, b.wants) {
		if err := s.somePhones(ctx); err != nil {
			return err
		}
	}
	// The order matters: the phones of the first enrollment are those that
	// connect, history comes after the runs without, and the rows made in bulk
	// come last.
	return b.steps(ctx, []step{{partEnroll, s.enrollments}, {partIdle, s.idles}, {partAcknowledge, s.acknowledgements}, {partFirst, s.firstCheckIns}, {partPush, s.pushes},
		{partImport, s.imports}, {partFile, s.largeFile}, {partAgent, s.agents}})
}

// steps measures those parts that are wanted.
func (b *bench) steps(ctx context.Context, steps []step) error {
	for _, step := range steps {
		if !b.wants(step.part) {
			continue
		}
		started := time.Now()
		if err := step.measure(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.part, err)
		}
		b.say(step.part, started)
	}
	return nil
}

func (b *bench) say(p part, started time.Time) {
	fmt.Fprintf(b.progress, "%-9s %-12s %5.1f s", b.engine.name, p, time.Since(started).Seconds())
	for _, r := range rows {
		if v := b.result.Figures[r.figure]; r.part == p && len(v) > 0 {
			fmt.Fprintf(b.progress, "  %s %s", r.figure, r.unit.format(v.median()))
		}
	}
	fmt.Fprintln(b.progress)
}

// runs measures a part as often as the scale says. When a target of the part
// was missed on PostgreSQL, or profiles are to be kept, one more run goes under
// the profiler; its figures do not count.
func (b *bench) runs(p part, run func() (map[figure]float64, cost, error)) error {
	for range b.scale.Runs {
		figures, c, err := run()
		if err != nil {
			return err
		}
		for f, v := range figures {
			b.result.Figures[f] = append(b.result.Figures[f], v)
		}
		total := b.result.Costs[p]
		b.result.Costs[p] = cost{usage: total.plus(c.usage), Count: total.Count + c.Count}
	}
	if !(b.engine.name == postgres && b.missed(p)) && b.Keep == "" {
		return nil
	}
	path, err := b.profilePath(p)
	if err != nil {
		return err
	}
	b.profiling = path
	_, _, err = run()
	b.profiling = ""
	if err != nil {
		return err
	}
	b.result.Profiles[p], err = top(path)
	return err
}

func (b *bench) missed(p part) bool {
	return slices.ContainsFunc(rows, func(r row) bool {
		v := b.result.Figures[r.figure]
		return r.part == p && r.target() != "" && len(v) > 0 && !r.met(v.median())
	})
}
