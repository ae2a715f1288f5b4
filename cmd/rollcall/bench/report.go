package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// report is everything that was measured, for the document.
type report struct {
	Scale   scale
	Machine machine
	Command string
	Started time.Time
	Took    time.Duration
	Results []*result
}

func (r *report) on(engine string) *result {
	i := slices.IndexFunc(r.Results, func(e *result) bool { return e.Engine == engine })
	if i < 0 {
		return &result{Engine: engine}
	}
	return r.Results[i]
}

// write makes the document in Markdown.
func (r *report) write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmarks\n\n`%s` wrote this on %s, in %.0f seconds; it is not edited by hand.\n"+
		"Everything ran on one machine: the phones and the push service (in the measuring process), the server (a process of its own) and the database.\n",
		r.Command, r.Started.UTC().Format("2 January 2006, 15:04 UTC"), r.Took.Seconds())
	r.machine(&b)
	r.figures(&b)
	r.costs(&b)
	r.missed(&b)
	r.pages(&b)
	r.peer(&b)
	r.method(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *report) machine(b *strings.Builder) {
	fmt.Fprintf(b, "\n## Machine\n| | |\n|---|---|\n| Cores | %d × %s |\n| Memory | %s |\n| Kernel | %s |\n| Go | %s |\n| Making 8 KiB durable (fdatasync) | %s |\n",
		r.Machine.Cores, r.Machine.CPU, r.Machine.Memory, r.Machine.Kernel, r.Machine.Go, r.Machine.Disk)
	for _, e := range r.Results {
		fmt.Fprintf(b, "| Database | %s |\n", e.Version)
	}
}

func (r *report) figures(b *strings.Builder) {
	fmt.Fprintf(b, "\n## Figures\nMedian of %s; the least and the greatest in brackets. Targets count for PostgreSQL.\n\n"+
		"| what | target | PostgreSQL | | SQLite |\n|---|---|---|---|---|\n", plural(r.Scale.Runs, "run"))
	on, beside := r.on(postgres), r.on(sqlite)
	for _, row := range rows {
		values := on.Figures[row.figure]
		verdict := ""
		if row.target() != "" && len(values) > 0 {
			if verdict = "met"; !row.met(values.median()) {
				verdict = "**missed**"
			}
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", row.text(r.Scale), row.target(), on.cell(row), verdict, beside.cell(row))
	}
}

// cell is a figure and what it is that of.
func (r *result) cell(row row) string {
	text := r.Figures[row.figure].format(row.unit)
	if of := r.Slowest[row.figure]; of != "" {
		text += ": `" + of + "`"
	}
	return text
}

// partNames are the parts as they are spoken of, in the order of the table.
var partNames = []struct {
	part part
	name string
	unit string // of which Count is a number
}{
	{partIdle, "Idle connect", "request"},
	{partAcknowledge, "Acknowledge + next command", "request"},
	{partEnroll, "OTA enrollment", "phone"},
	{partGate, "Gate decision, one at a time", "decision"},
	{partImport, "CSV import", "row"},
	{partList, "Page of the device list", "page"},
	{partConsole, "Page of the console", "page"},
	{partPush, "Push", "push"},
	{partPolicy, "Policy change", "device"},
	{partADE, "ADE enrollment", "phone"},
	{partDEP, "DEP delta", "device"},
	{partAMAPI, "Notification of Google's", "notification"},
	{partAgent, "Idle check-in of an agent", "request"},
}

func (r *report) costs(b *strings.Builder) {
	b.WriteString("\n## Where the CPU time goes\nCPU time of one operation, by who used it; \"busy\" is the share of all cores, whatever else ran on the machine included.\n\n" +
		"| operation | database | server | database's processes | phones, load, push service | busy |\n|---|---|---|---|---|---|\n")
	for _, p := range partNames {
		for _, e := range r.Results {
			c, ok := e.Costs[p.part]
			if !ok || c.Count == 0 {
				continue
			}
			database, load := "in the server", c.each(c.Load)
			if e.Engine == postgres {
				database = c.each(c.Postgres)
			}
			if p.part == partGate || p.part == partPolicy || p.part == partAMAPI {
				load = "none"
			}
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %.0f %% |\n", p.name, engineName(e.Engine), c.each(c.Server), database, load, 100*c.busy(r.Machine.Cores))
		}
	}
}

func engineName(engine string) string {
	if engine == postgres {
		return "PostgreSQL"
	}
	return "SQLite"
}

// each is the share of one operation.
func (c cost) each(d time.Duration) string {
	v := float64(d) / float64(c.Count) / float64(time.Microsecond)
	if v >= 1000 {
		return fmt.Sprintf("%.3g ms", v/1000)
	}
	return fmt.Sprintf("%.3g µs", v)
}

func (c cost) busy(cores int) float64 {
	return c.All.Seconds() / c.Wall.Seconds() / float64(cores)
}

// missed gives each missed target its reason.
func (r *report) missed(b *strings.Builder) {
	on := r.on(postgres)
	b.WriteString("\n## Missed targets\n")
	parts := map[part]bool{}
	any := false
	for _, row := range rows {
		values := on.Figures[row.figure]
		if row.target() == "" || len(values) == 0 || row.met(values.median()) {
			continue
		}
		any = true
		fmt.Fprintf(b, "\n### %s: %s\nWanted: %s. Measured: %s.\n", row.text(r.Scale), row.unit.format(values.median()), row.target(), values.format(row.unit))
		if c, ok := on.Costs[row.part]; ok && c.Count > 0 {
			b.WriteString(c.reason(r.Machine.Cores))
		}
		if text := on.Profiles[row.part]; text != "" && !parts[row.part] {
			fmt.Fprintf(b, "\nThe server's CPU profile of a further run of this part:\n```\n%s\n```\n", text)
		}
		parts[row.part] = true
	}
	if !any {
		b.WriteString("None.\n")
	}
}

// reason says what held a part up: the cores, or waiting.
func (c cost) reason(cores int) string {
	ours := c.Server + c.Postgres + c.Load
	text := fmt.Sprintf("The cores were %.0f %% busy. One operation took %s of CPU time: %s in the server, %s in PostgreSQL, %s in the phones and the load generator. ",
		100*c.busy(cores), c.each(ours), c.each(c.Server), c.each(c.Postgres), c.each(c.Load))
	if other := float64(c.All-ours) / float64(c.All); other > 0.15 {
		text += fmt.Sprintf("%.0f %% of the time used went to none of them: the machine did something else as well. ", 100*other)
	}
	if c.busy(cores) > 0.85 {
		return text + fmt.Sprintf("The cores are what limits it: all %d of them would do at most %s with nothing else to do.\n",
			cores, perSecond.format(float64(c.Count)*float64(cores)/ours.Seconds()))
	}
	return text + "The cores are not what limits it; the rest of the time was waiting, above all for commits to reach the disk.\n"
}

// slowPages is how many pages of the console the document tells of.
const slowPages = 25

func (r *report) pages(b *strings.Builder) {
	for _, e := range r.Results {
		if len(e.Visits) == 0 {
			continue
		}
		fmt.Fprintf(b, "\n## Pages of the console on %s\nThe slowest %d of %d, the last run's. CPU time is that of the server and the database's processes for one answer.\n\n"+
			"| page | median | slowest | CPU time | first load |\n|---|---|---|---|---|\n", engineName(e.Engine), min(slowPages, len(e.Visits)), len(e.Visits))
		for _, v := range e.Visits[:min(slowPages, len(e.Visits))] {
			fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", v.Page, milliseconds.format(v.Median), milliseconds.format(v.Slowest), milliseconds.format(float64(v.Server)/float64(time.Millisecond)), kibibytes.format(v.KiB))
		}
	}
}

// nanoMDM is what NanoMDM 0.9 does under the same load (PostgreSQL 15, two
// cores, fsync on, 200 devices, signed Idle messages, keep-alive), by number of
// workers: rate, p50 and p95, each with the least and the greatest seen.
var nanoMDM = map[int]struct{ rate, p50, p95 [2]float64 }{
	1:   {[2]float64{438, 474}, [2]float64{2, 2}, [2]float64{3, 4}},
	4:   {[2]float64{526, 605}, [2]float64{5, 5}, [2]float64{20, 20}},
	16:  {[2]float64{350, 420}, [2]float64{30, 30}, [2]float64{100, 136}},
	128: {[2]float64{227, 227}, [2]float64{368, 368}, [2]float64{1300, 1300}},
}

func (r *report) peer(b *strings.Builder) {
	on := r.on(postgres)
	if len(on.Peer) == 0 {
		return
	}
	b.WriteString("\n## Beside NanoMDM\nNanoMDM 0.9 is the reference for the protocol. Its figures were taken on a machine of two cores with PostgreSQL 15, fsync on, 200 devices, " +
		"Idle messages signed beforehand and keep-alive connections; the ratios are to the middle of what was seen.\n\n" +
		"| workers | Rollcall | p50 | p95 | NanoMDM | p50 | p95 | rate | p95 |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, n := range []int{1, 4, 16, 128} {
		l, ok := on.Peer[n]
		if !ok {
			continue
		}
		peer := nanoMDM[n]
		fmt.Fprintf(b, "| %d | %s | %s | %s | %s | %s | %s | %.1f × | %.2f × |\n", n, perSecond.format(l.Rate), milliseconds.format(l.P50), milliseconds.format(l.P95),
			span(peer.rate, perSecond), span(peer.p50, milliseconds), span(peer.p95, milliseconds), l.Rate/middle(peer.rate), l.P95/middle(peer.p95))
	}
}

func middle(s [2]float64) float64 { return (s[0] + s[1]) / 2 }

func span(s [2]float64, u unit) string {
	if s[0] == s[1] {
		return u.format(s[0])
	}
	return fmt.Sprintf("%g–%s", s[0], u.format(s[1]))
}

func (r *report) method(b *strings.Builder) {
	s := r.Scale
	fmt.Fprintf(b, `
## How it is measured
- The server is started with a log level of warn, like any other, behind its own TLS. PostgreSQL is a throw-away cluster with its default settings, so with
  fsync and synchronous commits; SQLite is a file in WAL mode with synchronous=FULL. Nothing leaves the machine.
- **Idle**: %d phones' messages, signed beforehand, round robin over 16 keep-alive HTTP/1.1 connections, %s after %s of warming up. The server verifies
  each signature and certificate. "Past commands" are finished ones in the queue of each phone.
- **Acknowledge**: %d commands queued for each phone; the results are signed beforehand, and each brings the next command.
- **Enrollment**: a phone downloads the profile, posts attributes signed by its device identity, gets an identity by SCEP, posts again, installs the
  profile with a second SCEP identity, and checks in (Authenticate, TokenUpdate). Its CPU time is part of the figure; its RSA keys come from a pool of %d,
  because making keys is the phone's time. Pre-enrolled Devices Only is enforced.
- **Gate**: enroll.Gate.Decide with the commit that records the decision, for random devices of the roll and every fifth time a stranger; no HTTP.
- **CSV**: through POST /api/v1/imports and its apply; each run puts other devices on the roll. The plan is timed from the first byte of the upload. For the
  memory a file with long notes is planned and applied once by a server that has just started.
- **Device list**: GET /api/v1/devices with each filter, sort (both ways) and search, %d pages each one after the other; the p95 of the slowest counts. The
  roll of the gate is listed: its devices differ in all that can be filtered and sorted by, a filter may let half of them pass or none.
- **Console**: a signed-in administrator opens every page over TLS, once to warm up and then %d times in a row; a page's median counts. Next to the roll there are
  as many decisions of the last 90 days, requests for a fifth of the devices, a group by rule with about half of them, a policy bound to it, and a planned import
  of as many rows as the CSV file. A first load is the page with its styles, scripts and pictures, as they cross the wire.
- **Export**: GET /api/v1/devices as application/x-ndjson, once, by a client that reads as fast as it can.
- **First check-in**: from the Authenticate of a phone that answers pushes to its last acknowledgement; the push that wakes it is in between.
- **ADE**: a phone asks the simulated DEP service where to enroll, posts machine info signed by its device identity, installs the profile with a SCEP identity,
  and checks in. Before each run as many phones enroll over the air on the same server; the ratio is that of the two rates.
- **DEP**: the simulated DEP service runs in the measuring process. The clock runs from the upload of the server token (the first list), or from POST .../sync
  (the delta), until every device has its profile at Apple and the account is up to date; every device becomes a row of the roll and a member of a group. What Apple tells of the first
  assignment itself, a modification for each device, is taken before the delta.
- **Android Management API**: the connector against a Google in the measuring process that takes everything and counts. The change runs from the plan to the
  last device noted as assigned; the notifications are one STATUS_REPORT of each device, with which its policy is acknowledged, from storing to the last processed.
- **Pushes**: %s rows of the outbox come due at once. The clock runs from the first push that the simulator accepts until the last result is stored.
- **Agents that wait**: each over a TLS connection of its own, HTTP/1.1, opened 8 at a time and all waiting at once; what their handshakes and requests leave to
  the garbage collector is part of the figure.
- **Memory**: VmRSS of the server's process, at rest after a restart on the database with its enrolled phones.
`, s.Phones, s.Load, s.Warm, s.Commands, s.Keys, s.Pages, s.Visits, thousands(float64(s.Pushes)))
}

func plural(n int, what string) string {
	if n == 1 {
		return "one " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
