package admin

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/enroll"
)

type overviewView struct {
	AsOf           time.Time         `json:"as_of" doc:"When the figures were counted. Where that takes long they are a minute old at most, or a little more; attention is always of this moment."`
	Days           int               `json:"days" doc:"How many days attempts, funnel, time to policy and refusals are about. Days are those of UTC, and today is the last of them."`
	Attention      []attentionView   `json:"attention" doc:"What needs somebody to do something; what is in the way of enrollment comes first."`
	Tiles          tilesView         `json:"tiles"`
	AttemptsPerDay []attemptsDayView `json:"attempts_per_day" doc:"One for each day, oldest first."`
	Funnel         funnelView        `json:"funnel" doc:"How far the devices came that were put on the roll in these days."`
	TimeToPolicy   timeToPolicyView  `json:"time_to_policy"`
	Refusals       []refusalView     `json:"refusals" doc:"Decisions that refused, by code, most first."`
}

type attentionView struct {
	Code     string    `json:"code" doc:"Stable reason." example:"push_certificate_expiring"`
	Severity Level     `json:"severity" enum:"fail,warn" doc:"fail is in the way of enrollment."`
	Text     string    `json:"text"`
	Hint     string    `json:"hint" doc:"What to do."`
	Link     string    `json:"link,omitempty" doc:"Path in this API that shows more." example:"/api/v1/push-certificate"`
	Object   string    `json:"object,omitempty" doc:"Name or ID of what it is about, where there may be several."`
	Since    time.Time `json:"since,omitzero"`
}

type tilesView struct {
	PreEnrolled     int `json:"pre_enrolled"`
	Invited         int `json:"invited"`
	PendingApproval int `json:"pending_approval"`
	Enrolled        int `json:"enrolled"`
	Refused7Days    int `json:"refused_7_days" doc:"Decisions of today and the six days before."`
	Expiring30Days  int `json:"expiring_30_days" doc:"Rows that have not enrolled and expire within 30 days."`
	Blocked         int `json:"blocked"`
}

type attemptsDayView struct {
	Day      string `json:"day" format:"date"`
	Admitted int    `json:"admitted"`
	Held     int    `json:"held"`
	Refused  int    `json:"refused"`
	Errors   int    `json:"errors"`
}

type funnelView struct {
	AsOf           time.Time `json:"as_of" doc:"When these were counted. On a large roll that takes long, and is done less often."`
	Imported       int       `json:"imported" doc:"Put on the roll, by an import, an account at Apple or this API."`
	Invited        int       `json:"invited" doc:"Of these: had an enrollment request."`
	Opened         int       `json:"opened" doc:"Whose request was opened."`
	Admitted       int       `json:"admitted" doc:"Let in by the gate, invited or not."`
	FirstCheckIn   int       `json:"first_check_in" doc:"Enrolled at least once."`
	PolicyComplete int       `json:"policy_complete" doc:"Had their whole policy at least once."`
}

type timeToPolicyView struct {
	MedianMS int64 `json:"median_ms" doc:"From the enrollment until the device had answered everything for the first time. 0: no device did."`
	P95MS    int64 `json:"p95_ms"`
	Devices  int   `json:"devices" doc:"How many were looked at: those that completed in these days, the newest 10,000 at most."`
}

type refusalView struct {
	Code  enroll.Code `json:"code"`
	Text  string      `json:"text"`
	Count int         `json:"count"`
}

func (r routes) overview() {
	a := r.a
	type getOverview struct {
		Days int `query:"days" minimum:"1" maximum:"90" default:"30" doc:"How many days to look back."`
	}
	add(r, RoleViewer, huma.Operation{OperationID: "get-overview", Method: http.MethodGet, Path: "/overview", Tags: []string{"Overview"},
		Summary: "Read the overview", Description: "What needs attention, how many devices there are in which state, and what happened lately."},
		func(ctx context.Context, in *getOverview) (*body[overviewView], error) {
			f, err := a.Figures.Figures(ctx)
			if err != nil {
				return nil, err
			}
			c, err := a.Figures.Cohorts(ctx)
			if err != nil {
				return nil, err
			}
			return &body[overviewView]{viewOverview(f, c, attention(a.Examiner.Examine(ctx)), in.Days)}, nil
		})
}

func viewOverview(f Figures, cohorts Cohorts, attention []Finding, days int) overviewView {
	since := firstDay(f.At, days)
	out := overviewView{AsOf: utc(f.At), Days: days, Attention: []attentionView{}, Refusals: []refusalView{},
		Tiles: tilesView{PreEnrolled: f.States[enroll.StatePreEnrolled], Invited: f.States[enroll.StateInvited], PendingApproval: f.States[enroll.StatePendingApproval],
			Enrolled: f.States[enroll.StateEnrolled], Expiring30Days: f.Expiring, Blocked: f.States[enroll.StateBlocked]}}
	for _, a := range attention {
		out.Attention = append(out.Attention, attentionView{Code: a.Code, Severity: a.Level, Text: a.Text, Hint: a.Fix, Link: a.Link, Object: a.Object, Since: utc(a.Since)})
	}
	for day := since; len(out.AttemptsPerDay) < days; day = day.AddDate(0, 0, 1) {
		out.AttemptsPerDay = append(out.AttemptsPerDay, attemptsDayView{Day: day.Format(time.DateOnly)})
	}
	refused, week := map[enroll.Code]int{}, firstDay(f.At, 7)
	for _, c := range f.Attempts {
		if c.Outcome == enroll.OutcomeDeny && !c.Day.Before(week) {
			out.Tiles.Refused7Days += c.Count
		}
		i := int(c.Day.Sub(since) / (24 * time.Hour))
		if c.Day.Before(since) || i >= days {
			continue
		}
		day := &out.AttemptsPerDay[i]
		switch c.Outcome {
		case enroll.OutcomeAllow:
			day.Admitted += c.Count
		case enroll.OutcomeHold:
			day.Held += c.Count
		case enroll.OutcomeDeny:
			day.Refused += c.Count
			refused[c.Code] += c.Count
		case enroll.OutcomeError:
			day.Errors += c.Count
		}
	}
	for code, n := range refused {
		out.Refusals = append(out.Refusals, refusalView{Code: code, Text: code.Reason().Admin, Count: n})
	}
	slices.SortFunc(out.Refusals, func(a, b refusalView) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Code, b.Code)) })
	out.Funnel.AsOf = utc(cohorts.At)
	for _, c := range cohorts.Days {
		if c.Day.Before(since) {
			continue
		}
		out.Funnel.Imported += c.Imported
		out.Funnel.Invited += c.Invited
		out.Funnel.Opened += c.Opened
		out.Funnel.Admitted += c.Admitted
		out.Funnel.FirstCheckIn += c.CheckedIn
		out.Funnel.PolicyComplete += c.Complete
	}
	devices, took := f.toPolicy(since, 0.5, 0.95)
	out.TimeToPolicy = timeToPolicyView{MedianMS: took[0].Milliseconds(), P95MS: took[1].Milliseconds(), Devices: devices}
	return out
}
