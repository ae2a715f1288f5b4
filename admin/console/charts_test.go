package console

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/enroll"
)

// TestChart: columns fill the width, pieces stand on each other and the tallest
// column is as high as the chart.
func TestChart(t *testing.T) {
	c := chartOf([]attemptsDay{{Day: "2026-01-01", Admitted: 3, Refused: 1}, {Day: "2026-01-02"}, {Day: "2026-01-03", Held: 1, Errors: 1}})
	if c.Most != 4 || c.Total != 6 || len(c.Columns) != 3 {
		t.Fatalf("%+v", c)
	}
	if diff := cmp.Diff([]piece{{"allow", 3, 35, 105}, {"deny", 1, 0, 35}}, c.Columns[0].Pieces); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]piece{{"hold", 1, 105, 35}, {"error", 1, 70, 35}}, c.Columns[2].Pieces); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if len(c.Columns[1].Pieces) != 0 || c.Columns[1].X != 240 || c.Columns[2].X+c.Columns[2].Width > chartWidth {
		t.Errorf("%+v", c.Columns)
	}
	if tiny := chartOf([]attemptsDay{{Admitted: 100_000, Errors: 1}}); tiny.Columns[0].Pieces[1].Height < 1 {
		t.Error("one error cannot be seen")
	}
	if none := chartOf(nil); none.Total != 0 || none.Columns != nil {
		t.Errorf("%+v", none)
	}
}

func TestDuration(t *testing.T) {
	for ms, want := range map[int64]string{0: "0s", 734: "730ms", 1204: "1.2s", 61_400: "1m1s", 3_725_000: "1h2m0s"} {
		if got := duration(ms); got != want {
			t.Errorf("%d: %q, want %q", ms, got, want)
		}
	}
}

// TestRemedies: every refusal has something that can be done about it, but for
// two sources that disagree.
func TestRemedies(t *testing.T) {
	row := &device{State: "invited", Sources: map[string]string{"serial": "csv"}, User: &user{}, Blocked: &block{}}
	for _, r := range enroll.Reasons {
		if r.Code.Outcome() != enroll.OutcomeDeny {
			continue
		}
		d := arrival{decision: decision{Serial: "A", Code: string(r.Code), Enforced: string(r.Code), Outcome: "deny"}}
		there := row
		if r.Code == enroll.DenyNotPreEnrolled {
			there = nil
		}
		if got := remediesFor(d, there, false); got.None() != (r.Code == enroll.DenyIdentityConflict) {
			t.Errorf("%s: %+v", r.Code, got)
		}
	}
	audited := arrival{decision: decision{Serial: "A", Code: "allow.open", Enforced: "deny.not_pre_enrolled", Outcome: "allow", NearMisses: []nearMiss{{Serial: "B"}}}}
	if got := remediesFor(audited, &device{State: "enrolled", Sources: map[string]string{"serial": "device"}}, false); got != (remedies{Repair: true}) {
		t.Errorf("audit mode: %+v", got)
	}
	if got := remediesFor(arrival{decision: decision{Serial: "A", Code: "allow.listed", Enforced: "allow.listed", Outcome: "allow"}}, row, false); !got.None() {
		t.Errorf("admitted: %+v", got)
	}
}
