package bench

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// figure names one number that is measured.
type figure string

const (
	idleRate      figure = "idle.rate"
	idleP50       figure = "idle.p50"
	idleP95       figure = "idle.p95"
	idlePastRate  figure = "idle.past.rate"
	idlePastP50   figure = "idle.past.p50"
	idlePastP95   figure = "idle.past.p95"
	idleFlat      figure = "idle.flat"
	ackRate       figure = "ack.rate"
	ackP50        figure = "ack.p50"
	ackP95        figure = "ack.p95"
	enrollRate    figure = "enroll.rate"
	enrollP50     figure = "enroll.p50"
	enrollP95     figure = "enroll.p95"
	gateP50       figure = "gate.p50"
	gateP99       figure = "gate.p99"
	gateRate      figure = "gate.rate"
	importPlan    figure = "import.plan"
	importApply   figure = "import.apply"
	listSlowest   figure = "list.slowest"
	listPairs     figure = "list.pairs"
	exportSeconds figure = "export.seconds"
	exportFirst   figure = "export.first"

	consoleSlowest  figure = "console.slowest"
	consoleWorst    figure = "console.worst"
	consoleHeaviest figure = "console.heaviest"

	memoryImport  figure = "memory.import"
	memoryExport  figure = "memory.export"
	firstCheckIn  figure = "first.seconds"
	pushRate      figure = "push.rate"
	policyCompile figure = "policy.compile"
	policyChange  figure = "policy.change"
	memoryPolicy  figure = "memory.policy"
	adeRate       figure = "ade.rate"
	adeP50        figure = "ade.p50"
	adeP95        figure = "ade.p95"
	adeBeside     figure = "ade.beside"
	depFirst      figure = "dep.first"
	memoryDEP     figure = "memory.dep"
	memoryDEPFlat figure = "memory.dep.flat"
	depDelta      figure = "dep.delta"
	memoryRest    figure = "memory.rest"

	agentEnrollRate    figure = "agent.enroll.rate"
	amapiNotifications figure = "amapi.notifications"
	amapiChange        figure = "amapi.change"
	amapiCalls         figure = "amapi.calls"
	agentEnrollP95     figure = "agent.enroll.p95"
	agentRate          figure = "agent.rate"
	agentP95           figure = "agent.p95"
	memoryWaiting      figure = "memory.waiting"
	memoryLoad         figure = "memory.load"
)

// row is one line of the table: what is measured, in which unit, and what
// is wanted.
type row struct {
	figure figure
	what   string // may hold %s for a number of the scale
	number func(scale) int
	unit   unit
	least  float64 // target; 0: none
	most   float64 // target, exclusive; 0: none
	part   part    // of the measurement that gave it
}

// rows are those of the performance budget. A row without a target explains
// the one above it.
var rows = []row{
	{figure: idleRate, what: "Idle connect, nothing to do, 16 workers", unit: perSecond, least: 5000, part: partIdle},
	{figure: idleP50, what: "· p50", unit: milliseconds, part: partIdle},
	{figure: idleP95, what: "· p95", unit: milliseconds, most: 10, part: partIdle},
	{figure: idlePastRate, what: "· with %s past commands per device", number: func(s scale) int { return s.Past }, unit: perSecond, part: partIdle},
	{figure: idlePastP50, what: "· p50", unit: milliseconds, part: partIdle},
	{figure: idlePastP95, what: "· p95", unit: milliseconds, most: 10, part: partIdle},
	{figure: idleFlat, what: "· rate with past commands ÷ rate without", unit: times, least: 0.9, part: partIdle},
	{figure: ackRate, what: "Acknowledge + next command, 16 workers", unit: perSecond, least: 2000, part: partAcknowledge},
	{figure: ackP50, what: "· p50", unit: milliseconds, part: partAcknowledge},
	{figure: ackP95, what: "· p95", unit: milliseconds, part: partAcknowledge},
	{figure: enrollRate, what: "Full OTA enrollment including SCEP, 8 in parallel (phones' keys made beforehand)", unit: perSecond, least: 60, part: partEnroll},
	{figure: enrollP50, what: "· p50", unit: milliseconds, part: partEnroll},
	{figure: enrollP95, what: "· p95", unit: milliseconds, part: partEnroll},
	{figure: agentEnrollRate, what: "Android agent: enrollment with a token, 8 in parallel", unit: perSecond, least: 150, part: partAgent},
	{figure: agentEnrollP95, what: "· p95", unit: milliseconds, part: partAgent},
	{figure: agentRate, what: "Android agent: idle check-in, 16 workers", unit: perSecond, least: 3000, part: partAgent},
	{figure: agentP95, what: "· p95", unit: milliseconds, part: partAgent},
	{figure: memoryWaiting, what: "Memory of the server while %s agents wait (RSS, greatest)", number: func(s scale) int { return s.Waiting }, unit: mebibytes, most: 300, part: partAgent},
	{figure: gateP50, what: "Gate decision at %s rows, p50", number: func(s scale) int { return s.Roll }, unit: milliseconds, part: partGate},
	{figure: gateP99, what: "· p99", unit: milliseconds, most: 5, part: partGate},
	{figure: gateRate, what: "· 8 at a time", unit: perSecond, part: partGate},
	{figure: importPlan, what: "CSV of %s rows: uploaded and planned", number: func(s scale) int { return s.Import }, unit: seconds, most: 10, part: partImport},
	{figure: importApply, what: "· applied", unit: seconds, most: 20, part: partImport},
	{figure: memoryImport, what: "· memory of the server with a file of %s MiB (RSS, greatest)", number: func(s scale) int { return s.File >> 20 }, unit: mebibytes, most: 300, part: partFile},
	{figure: listSlowest, what: "Device list of %s rows, page of 100, p95 of the slowest of all filters, sorts and searches", number: func(s scale) int { return s.Roll }, unit: milliseconds, most: 20, part: partList},
	{figure: listPairs, what: "· of the slowest pair of two filters, or of a filter and a sort", unit: milliseconds, part: partList},
	{figure: exportSeconds, what: "Export of %s devices as NDJSON", number: func(s scale) int { return s.Roll }, unit: seconds, part: partExport},
	{figure: exportFirst, what: "· until the first of them has come", unit: milliseconds, part: partExport},
	{figure: memoryExport, what: "· memory of the server (RSS, greatest)", unit: mebibytes, part: partExport},
	{figure: consoleSlowest, what: "Console at %s devices: the slowest of all pages, median", number: func(s scale) int { return s.Roll }, unit: milliseconds, most: 100, part: partConsole},
	{figure: consoleWorst, what: "· the slowest single answer of any page", unit: milliseconds, part: partConsole},
	{figure: consoleHeaviest, what: "· the heaviest first load: page, styles, scripts, pictures", unit: kibibytes, most: 200, part: partConsole},
	{figure: firstCheckIn, what: "First check-in to last acknowledgement, 10 payloads", unit: seconds, most: 1, part: partFirst},
	{figure: policyCompile, what: "Merge and compile 10 policies for a device", unit: milliseconds, most: 1, part: partPolicy},
	{figure: policyChange, what: "Policy change for %s enrolled devices: saved, planned and queued", number: func(s scale) int { return s.Managed }, unit: seconds, most: 5, part: partPolicy},
	{figure: memoryPolicy, what: "· memory of the process (RSS, greatest)", unit: mebibytes, part: partPolicy},
	{figure: adeRate, what: "Full ADE enrollment including SCEP, 8 in parallel (phones' keys made beforehand)", unit: perSecond, least: 60, part: partADE},
	{figure: adeP50, what: "· p50", unit: milliseconds, part: partADE},
	{figure: adeP95, what: "· p95", unit: milliseconds, part: partADE},
	{figure: adeBeside, what: "· rate ÷ rate of OTA enrollment on the same server", unit: times, least: 1, part: partADE},
	{figure: depFirst, what: "DEP: first sync and assignment of %s", number: func(s scale) int { return s.Listed }, unit: seconds, most: 120, part: partDEP},
	{figure: memoryDEP, what: "· memory of the server (RSS, greatest)", unit: mebibytes, most: 200, part: partDEP},
	{figure: memoryDEPFlat, what: "· ÷ that with a tenth of the devices", unit: times, most: 1.5, part: partDEP},
	{figure: depDelta, what: "DEP: delta of %s", number: func(s scale) int { return s.Changed }, unit: seconds, most: 3, part: partDEP},
	{figure: amapiNotifications, what: "Android Management API: %s notifications stored and processed", number: func(s scale) int { return s.Managed }, unit: seconds, most: 30, part: partAMAPI},
	{figure: amapiChange, what: "· policy change for %s devices that share it: planned, queued, given to Google", number: func(s scale) int { return s.Managed }, unit: seconds, part: partAMAPI},
	{figure: amapiCalls, what: "· calls to Google that it takes", unit: calls, most: 10, part: partAMAPI},
	{figure: pushRate, what: "APNs pushes, from the outbox to the simulator and back", unit: perSecond, least: 5000, part: partPush},
	{figure: memoryRest, what: "Memory of the server at rest (RSS)", unit: mebibytes, most: 60, part: partIdle},
	{figure: memoryLoad, what: "Memory of the server under the Idle load (RSS, greatest)", unit: mebibytes, most: 200, part: partIdle},
}

func (r row) text(s scale) string {
	if r.number == nil {
		return r.what
	}
	return fmt.Sprintf(r.what, thousands(float64(r.number(s))))
}

// target is the target as text; empty: none.
func (r row) target() string {
	switch {
	case r.least > 0:
		return "at least " + r.unit.format(r.least)
	case r.most > 0:
		return "under " + r.unit.format(r.most)
	}
	return ""
}

func (r row) met(value float64) bool {
	return (r.least == 0 || value >= r.least) && (r.most == 0 || value < r.most)
}

// unit says how a figure is written.
type unit string

const (
	perSecond    unit = "/s"
	milliseconds unit = "ms"
	seconds      unit = "s"
	mebibytes    unit = "MiB"
	kibibytes    unit = "KiB"
	times        unit = "×"
	calls        unit = "calls"
)

func (u unit) format(v float64) string {
	switch u {
	case perSecond:
		if v < 1000 {
			return fmt.Sprintf("%.3g/s", v)
		}
		return thousands(v) + "/s"
	case times:
		return fmt.Sprintf("%.2f", v)
	case mebibytes:
		return fmt.Sprintf("%.0f MiB", v)
	}
	return fmt.Sprintf("%.3g %s", v, u)
}

// thousands writes a whole number with its groups apart.
func thousands(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// series is a figure's value in each run.
type series []float64

func (s series) median() float64 {
	sorted := slices.Sorted(slices.Values(s))
	n := len(sorted)
	if n == 0 {
		return math.NaN()
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// format gives the median and, of several runs, the spread.
func (s series) format(u unit) string {
	if len(s) == 0 {
		return "not measured"
	}
	text := u.format(s.median())
	if len(s) > 1 {
		text += fmt.Sprintf(" (%s to %s)", u.format(slices.Min(s)), u.format(slices.Max(s)))
	}
	return text
}

// quantile is the duration that a share q of a sorted list does not exceed, in
// milliseconds.
func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	i := int(math.Ceil(q*float64(len(sorted)))) - 1
	return float64(sorted[max(i, 0)]) / float64(time.Millisecond)
}
