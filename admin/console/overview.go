package console

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

var overviewPages = []route{
	get("/{$}", overviewPage),
}

// overview is what the page shows of the API's overview.
type overview struct {
	AsOf      time.Time   `json:"as_of"`
	Days      int         `json:"days"`
	Attention []attention `json:"attention"`
	Tiles     struct {
		PreEnrolled     int `json:"pre_enrolled"`
		Invited         int `json:"invited"`
		PendingApproval int `json:"pending_approval"`
		Enrolled        int `json:"enrolled"`
		Refused7Days    int `json:"refused_7_days"`
		Expiring30Days  int `json:"expiring_30_days"`
		Blocked         int `json:"blocked"`
	} `json:"tiles"`
	Attempts []attemptsDay `json:"attempts_per_day"`
	Funnel   struct {
		Imported       int `json:"imported"`
		Invited        int `json:"invited"`
		Opened         int `json:"opened"`
		Admitted       int `json:"admitted"`
		FirstCheckIn   int `json:"first_check_in"`
		PolicyComplete int `json:"policy_complete"`
	} `json:"funnel"`
	ToPolicy struct {
		MedianMS int64 `json:"median_ms"`
		P95MS    int64 `json:"p95_ms"`
		Devices  int   `json:"devices"`
	} `json:"time_to_policy"`
	Refusals []refusedFor `json:"refusals"`
}

type attention struct {
	Code     string    `json:"code"`
	Severity string    `json:"severity"`
	Text     string    `json:"text"`
	Hint     string    `json:"hint"`
	Object   string    `json:"object"`
	Since    time.Time `json:"since"`
}

type attemptsDay struct {
	Day      string `json:"day"`
	Admitted int    `json:"admitted"`
	Held     int    `json:"held"`
	Refused  int    `json:"refused"`
	Errors   int    `json:"errors"`
}

type refusedFor struct {
	Code  string `json:"code"`
	Text  string `json:"text"`
	Count int    `json:"count"`
}

// attentionPages are where the console helps with what needs attention, by how
// its code begins.
var attentionPages = []struct{ begins, path string }{
	{"push_", "/settings/certificates"}, {"server_certificate_", "/settings/certificates"}, {"ca_", "/settings/certificates"}, {"profiles_", "/settings/certificates"},
	{"public_url_", "/settings/about"}, {"pushes_", "/settings/certificates"}, {"mails_", "/settings/mail"}, {"sms_", "/settings/mail"}, {"webhook_", "/settings/webhooks"},
	{"dep_", "/enrollment/dep"}, {"google_", "/enrollment/google"}, {"zero_touch_", "/enrollment/zero-touch"}, {"restriction_", "/enrollment/restrictions"},
}

// Helps is the page where something can be done about it; empty: there is none.
func (q *request) Helps(a attention) string {
	for _, p := range attentionPages {
		if strings.HasPrefix(a.Code, p.begins) && slices.ContainsFunc(q.console.routes(), func(r route) bool { return r.method == http.MethodGet && r.path == p.path }) {
			return Prefix + p.path
		}
	}
	return ""
}

// overviewDays are the periods to choose from.
var overviewDays = []string{"7", "30", "90"}

// step is one of the funnel.
type step struct {
	Key   string // of its text
	Path  string // of the list behind it
	Count int
	Share int // of the first step, in percent
	Bar   bar
}

// reason is why devices were refused.
type reason struct {
	refusedFor
	Path string
	Bar  bar
}

type tile struct {
	Key   string // of its text
	Path  string // of the list behind it
	Count int
}

func overviewPage(q *request) error {
	var o overview
	if err := q.get("/overview", query("days", q.Param("days")), &o); err != nil {
		return err
	}
	data := struct {
		overview
		Periods     []string
		Period      string
		Tiles       []tile
		Chart       attemptsChart
		Steps       []step
		Reasons     []reason
		Median, P95 string
	}{overview: o, Periods: overviewDays, Period: strconv.Itoa(o.Days), Chart: chartOf(o.Attempts)}
	since := firstDay(o.Attempts)
	week := since
	if len(o.Attempts) > 7 {
		week = dayStart(o.Attempts[len(o.Attempts)-7].Day)
	}
	data.Tiles = []tile{
		{"overview.tile.pre_enrolled", "/devices?state=pre_enrolled", o.Tiles.PreEnrolled},
		{"overview.tile.invited", "/devices?state=invited", o.Tiles.Invited},
		{"overview.tile.pending_approval", "/enrollment/approvals", o.Tiles.PendingApproval},
		{"overview.tile.enrolled", "/devices?state=enrolled", o.Tiles.Enrolled},
		{"overview.tile.refused", gatePath("outcome", "deny", "since", week), o.Tiles.Refused7Days},
		{"overview.tile.expiring", "/devices?expiring_days=30", o.Tiles.Expiring30Days},
		{"overview.tile.blocked", "/devices?state=blocked", o.Tiles.Blocked},
	}
	f := o.Funnel
	data.Steps = []step{
		{Key: "overview.step.imported", Path: "/devices", Count: f.Imported},
		{Key: "overview.step.invited", Path: "/enrollment/requests", Count: f.Invited},
		{Key: "overview.step.opened", Path: "/enrollment/requests?state=opened", Count: f.Opened},
		{Key: "overview.step.admitted", Path: gatePath("outcome", "allow", "since", since), Count: f.Admitted},
		{Key: "overview.step.first_check_in", Path: "/devices?state=enrolled&sort=enrolled_at&order=desc", Count: f.FirstCheckIn},
		{Key: "overview.step.policy_complete", Path: "/policies", Count: f.PolicyComplete},
	}
	most := slices.MaxFunc(data.Steps, func(a, b step) int { return cmp.Compare(a.Count, b.Count) }).Count
	for i := range data.Steps {
		s := &data.Steps[i]
		s.Bar = barOf(s.Count, most)
		if f.Imported > 0 {
			s.Share = 100 * s.Count / f.Imported
		}
	}
	for _, r := range o.Refusals { // most first
		data.Reasons = append(data.Reasons, reason{r, gatePath("code", r.Code, "since", since), barOf(r.Count, o.Refusals[0].Count)})
	}
	data.Median, data.P95 = duration(o.ToPolicy.MedianMS), duration(o.ToPolicy.P95MS)
	return q.page("overview", view{Title: text("overview.title"), Area: "overview", Data: data})
}

// gatePath is the gate log with filters.
func gatePath(pairs ...string) string { return "/gate?" + query(pairs...).Encode() }

// dayStart is the beginning of a day of the overview, as a parameter.
func dayStart(day string) string { return day + "T00:00:00Z" }

func firstDay(days []attemptsDay) string {
	if len(days) == 0 {
		return ""
	}
	return dayStart(days[0].Day)
}

// duration is a time in words, to three digits.
func duration(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	switch {
	case d >= 10*time.Minute:
		return d.Round(time.Minute).String()
	case d >= 10*time.Second:
		return d.Round(time.Second).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// nextDay is the day after, as a parameter.
func nextDay(day string) string {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return ""
	}
	return t.AddDate(0, 0, 1).Format(time.RFC3339)
}

// DayPath is the gate log of a day with an outcome.
func (a attemptsDay) DayPath(outcome string) string {
	v := url.Values{"since": {dayStart(a.Day)}, "until": {nextDay(a.Day)}}
	if outcome != "" {
		v.Set("outcome", outcome)
	}
	return Prefix + "/gate?" + v.Encode()
}
