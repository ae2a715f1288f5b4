package admin_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/admin"
	"rollcall/enroll"
)

// examiner finds what it is told.
type examiner []admin.Finding

func (e examiner) Examine(context.Context) []admin.Finding { return e }

func TestOverview(t *testing.T) {
	s := newServer(t)
	s.api.Examiner = examiner{
		{Level: admin.LevelOK, Text: "The database answers."},
		{Level: admin.LevelWarn, Code: "restriction_off", Text: "Off.", Fix: "Turn it on.", Link: "/api/v1/settings/enrollment-restrictions"},
		{Level: admin.LevelFail, Code: "push_certificate_missing", Text: "None.", Fix: "Get one.", Object: "apple", Since: s.now},
	}
	s.do("GET /overview", "").want(200).is("as_of=2026-05-04T10:00:00Z", "days=30", "tiles.pre_enrolled=0", "refusals.0=", "time_to_policy.devices=0",
		"attention.0.code=push_certificate_missing", "attention.0.severity=fail", "attention.0.since=2026-05-04T10:00:00Z", "attention.0.object=apple",
		"attention.1.code=restriction_off", "attention.1.hint=Turn it on.", "attention.1.since=", "attention.2=", "attempts_per_day.0.day=2026-04-05", "attempts_per_day.29.day=2026-05-04", "attempts_per_day.30=")
	s.do("PUT /devices/C39XK1ABCD01", `{"platform":"ios","ownership":"corporate"}`).want(201)
	s.do("PUT /devices/C39XK1ABCD02", `{"platform":"ios","ownership":"corporate"}`).want(201)
	s.do("PUT /settings/enrollment-restrictions", `{"pre_enrolled_devices_only":"enforce"}`).want(200)
	s.enroll(s.arrive("C39XK1ABCD01"))
	s.arrive("NOBODY1")
	s.now = s.now.AddDate(0, 0, 8)
	s.arrive("NOBODY1")
	s.arrive("NOBODY2")
	s.do("GET /overview?days=9", "").want(200).is("tiles.pre_enrolled=1", "tiles.enrolled=1", "tiles.refused_7_days=2",
		"attempts_per_day.0.day=2026-05-04", "attempts_per_day.0.admitted=1", "attempts_per_day.0.refused=1", "attempts_per_day.8.refused=2", "attempts_per_day.8.admitted=0",
		"refusals.0.code=deny.not_pre_enrolled", "refusals.0.count=3", "refusals.1=",
		"funnel.as_of=2026-05-12T10:00:00Z", "funnel.imported=2", "funnel.invited=0", "funnel.admitted=1", "funnel.first_check_in=1", "funnel.policy_complete=0").says(enroll.DenyNotPreEnrolled.Reason().Admin)
	s.do("GET /overview?days=1", "").want(200).is("funnel.imported=0", "refusals.0.count=2", "attempts_per_day.0.refused=2", "attempts_per_day.1=", "tiles.refused_7_days=2")
	s.do("GET /overview?days=91", "").want(422)
	s.do("GET /overview?days=0", "").want(422)
}

// TestDecisionFilters: each parameter reaches the store.
func TestDecisionFilters(t *testing.T) {
	s := newServer(t)
	s.api.Examiner = examiner{}
	s.do("PUT /devices/C39XK1ABCD01", `{"platform":"ios","ownership":"corporate"}`).want(201)
	s.do("PUT /settings/enrollment-restrictions", `{"pre_enrolled_devices_only":"enforce"}`).want(200)
	first := s.arrive("STRANGER")
	s.now = s.now.Add(time.Minute)
	near := s.arrive("C39XK1ABCDO1")
	for query, want := range map[string]int{"": 2, "channel=ota": 2, "channel=ade": 0, "evidence=signed": 2, "evidence=claimed": 0, "near_miss=true": 1, "until=2026-05-04T10:00:30Z": 1,
		"until=2026-05-04T10:00:00Z": 0, "since=2026-05-04T10:00:30Z": 1, "after=" + first.ID: 1, "after=" + near.ID: 0} {
		if a := s.do("GET /decisions?"+query, "").want(200); a.count() != want {
			t.Errorf("%s: %d, want %d: %s", query, a.count(), want, a.raw)
		}
	}
	s.do("GET /decisions?near_miss=true", "").is("items.0.serial=C39XK1ABCDO1")
	s.do("POST /decisions/"+near.ID+"/repair", `{"serial":"C39XK1ABCD01"}`).want(200)
	if n := s.do("GET /decisions?near_miss=true", "").want(200).count(); n != 0 {
		t.Errorf("%d near misses after the repair", n)
	}
	s.do("GET /decisions?channel=post", "").want(422)
}

// slowFigures takes its time to count.
type slowFigures struct {
	takes time.Duration
	count int
	err   error
	since []string // days that attempts were counted from
}

func (s *slowFigures) Figures(ctx context.Context, now, _, attempts time.Time) (admin.Figures, error) {
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
		return admin.Figures{}, ctx.Err()
	}
	s.count++
	s.since = append(s.since, attempts.Format(time.DateOnly))
	f := admin.Figures{At: now, Expiring: s.count}
	for day := now.UTC().Truncate(24 * time.Hour); !day.Before(attempts); day = day.AddDate(0, 0, -1) {
		f.Attempts = append(f.Attempts, admin.Attempts{Day: day, Count: s.count})
	}
	return f, s.err
}

func (s *slowFigures) Cohorts(ctx context.Context, now, _ time.Time) (admin.Cohorts, error) {
	return admin.Cohorts{At: now}, nil
}

func TestFigureKeeper(t *testing.T) {
	keeper := func(s *slowFigures) *admin.FigureKeeper {
		return admin.NewFigureKeeper(s, 20*time.Millisecond, time.Now, slog.New(slog.DiscardHandler))
	}
	ask := func(t *testing.T, k *admin.FigureKeeper, want int) {
		t.Helper()
		if f, err := k.Figures(t.Context()); err != nil || f.Expiring != want {
			t.Errorf("count %d, %v, want %d", f.Expiring, err, want)
		}
	}
	t.Run("quick ones are always new", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			k := keeper(&slowFigures{takes: 10 * time.Millisecond})
			for i := range 3 {
				ask(t, k, i+1)
			}
		})
	})
	t.Run("one that takes a little longer is given up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &slowFigures{takes: 100 * time.Millisecond}
			k := keeper(s)
			ask(t, k, 1)
			began := time.Now()
			ask(t, k, 1)
			if waited := time.Since(began); waited != 20*time.Millisecond {
				t.Errorf("waited for %v", waited)
			}
			s.takes = time.Millisecond
			ask(t, k, 2)
			s.err = errors.New("no")
			if _, err := k.Figures(t.Context()); err != s.err {
				t.Errorf("error %v", err)
			}
		})
	})
	for takes, rest := range map[time.Duration]time.Duration{time.Second: time.Minute, 4 * time.Second: 2 * time.Minute} {
		t.Run(fmt.Sprintf("one that takes %v is made in the background", takes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := keeper(&slowFigures{takes: takes})
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				go k.Run(ctx)
				time.Sleep(takes / 2)
				ask(t, k, 2) // begun after it was asked for
				for range 5 {
					ask(t, k, 2)
				}
				time.Sleep(rest - takes)
				ask(t, k, 2)
				time.Sleep(3 * takes)
				ask(t, k, 3)
			})
		})
	}
	t.Run("days that are over are counted once a day", func(t *testing.T) {
		s := &slowFigures{}
		now := time.Date(2026, 3, 1, 23, 59, 0, 0, time.UTC)
		k := admin.NewFigureKeeper(s, time.Hour, func() time.Time { return now }, slog.New(slog.DiscardHandler))
		for range 3 {
			ask(t, k, s.count+1)
			now = now.Add(30 * time.Second)
		}
		f, err := k.Figures(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"2025-12-02", "2026-02-28", "2025-12-03", "2026-03-01"}, s.since); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if len(f.Attempts) != admin.MaxFigureDays || f.Attempts[0].Count != 4 || f.Attempts[1].Count != 4 || f.Attempts[2].Count != 3 || f.Attempts[89].Day.Format(time.DateOnly) != "2025-12-03" {
			t.Errorf("%d: %+v", len(f.Attempts), f.Attempts[:3])
		}
	})
	t.Run("a failure is not kept", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &slowFigures{takes: time.Second, err: errors.New("no")}
			k := keeper(s)
			if _, err := k.Figures(t.Context()); err == nil || !strings.Contains(err.Error(), "no") {
				t.Errorf("error %v", err)
			}
			s.err = nil
			ask(t, k, 2)
		})
	})
}
