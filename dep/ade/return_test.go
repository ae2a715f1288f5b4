package ade

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/dep"
	"rollcall/enroll"
)

// world is all that a Door asks, in memory.
type world struct {
	entries map[string]dep.Entry // by ID
	deny    enroll.Code          // what the gate answers; empty: it admits
	asked   []enroll.Attempt
	bound   []certs.Binding
}

func (w *world) Entry(context.Context, string) (dep.Entry, error) {
	return dep.Entry{}, enroll.Errorf(enroll.KindNotFound, "ade_profile_unknown", "there is no such profile")
}

func (w *world) EntryOf(ctx context.Context, id string) (dep.Entry, error) {
	if e, known := w.entries[id]; known {
		return e, nil
	}
	return w.Entry(ctx, "")
}

func (w *world) Listed(context.Context, string) (string, bool, error) { return "", false, nil }

func (w *world) Decide(_ context.Context, a enroll.Attempt) (enroll.Decision, error) {
	w.asked = append(w.asked, a)
	d := enroll.Decision{ID: "decision", Serial: a.Serial, Channel: a.Channel, Evidence: a.Evidence, Outcome: enroll.OutcomeAllow, Code: enroll.AllowListed}
	if w.deny != "" {
		d.Outcome, d.Code = enroll.OutcomeDeny, w.deny
	}
	return d, nil
}

func (w *world) Explain(ctx context.Context, a enroll.Attempt) (enroll.Decision, error) {
	return w.Decide(ctx, a)
}

func (w *world) Refuse(_ context.Context, a enroll.Attempt, code enroll.Code, _ string) (enroll.Decision, error) {
	return enroll.Decision{Serial: a.Serial, Outcome: enroll.OutcomeDeny, Code: code}, nil
}

func (w *world) DeviceByID(_ context.Context, id string) (enroll.Device, error) {
	return enroll.Device{ID: id, Facts: enroll.Facts{Product: "iPad16,3", OSVersion: "26.1"}}, nil
}

func (w *world) Enrollment(_ context.Context, b certs.Binding) ([]byte, error) {
	w.bound = append(w.bound, b)
	return []byte("profile"), nil
}

func (w *world) door() *Door {
	return &Door{Entries: w, Gate: w, Profiles: w, Roll: w, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
}

func TestReturn(t *testing.T) {
	entries := map[string]dep.Entry{
		"plain":  {ProfileID: "plain", Authentication: dep.AuthenticationNone},
		"kiosk":  {ProfileID: "kiosk", Authentication: dep.AuthenticationNone, ReturnToService: true},
		"lounge": {ProfileID: "lounge", Authentication: dep.AuthenticationOIDC, ReturnToService: true},
		"office": {ProfileID: "office", Authentication: dep.AuthenticationRequest},
	}
	for name, c := range map[string]struct {
		profile string
		deny    enroll.Code
		may     bool
		asked   bool // the gate, for a profile to take along
	}{
		"not by ADE":                   {"", "", false, false},
		"by a profile that is gone":    {"deleted", "", false, false},
		"not for return to service":    {"plain", "", false, false},
		"asks for a person only":       {"office", "", false, false},
		"finds its way by its profile": {"kiosk", enroll.DenyBlocked, true, false},
		"takes a profile along":        {"lounge", "", true, true},
		"the gate is against it":       {"lounge", enroll.DenyBlocked, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{entries: entries, deny: c.deny}
			may, profile, err := w.door().Return(t.Context(), certs.Binding{ADEProfile: c.profile, DeviceID: "d", Serial: "C02XK1", UserID: "ann"}, "192.0.2.1:1")
			if err != nil || may != c.may || (profile != nil) != (c.may && c.asked) || (len(w.asked) == 1) != c.asked {
				t.Fatalf("may %v, profile %q, gate asked %d times, %v", may, profile, len(w.asked), err)
			}
			if !c.asked {
				return
			}
			a := w.asked[0]
			if a.Serial != "C02XK1" || a.UserID != "ann" || a.Channel != enroll.ChannelADE || a.Evidence != enroll.EvidenceSigned || a.Facts.OSVersion != "26.1" {
				t.Errorf("the gate was asked about %+v", a)
			}
			if c.may && (w.bound[0].AttemptID != "decision" || w.bound[0].UserID != "ann" || w.bound[0].ADEProfile != c.profile) {
				t.Errorf("the profile is bound to %+v", w.bound[0])
			}
		})
	}
}
