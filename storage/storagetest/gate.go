package storagetest

import (
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/enroll"
	"rollcall/storage"
)

func testRequests(t *testing.T, open func(t *testing.T) *storage.Store) {
	each(t, open, map[string]func(w *world){
		"create": func(w *world) {
			d := w.device("AAA")
			first := w.request(d, 100)
			second := w.request(d, 200)
			if d, err := w.Device(w.ctx, "AAA"); err != nil || d.State != enroll.StateInvited || d.Version != 2 {
				w.Fatalf("device %+v, %v", d, err)
			}
			if got, err := w.Request(w.ctx, first.ID); err != nil || got.State != enroll.RequestCancelled || !got.ClosedAt.Equal(start) {
				w.Fatalf("earlier request %+v, %v", got, err)
			}
			if got, err := w.Request(w.ctx, second.ID); err != nil || got != second {
				w.Fatalf("request %+v, %v", got, err)
			}
			list, err := w.Requests(w.ctx, enroll.RequestFilter{DeviceID: d.ID}, enroll.Page{Limit: 1})
			w.ok(err)
			if len(list) != 1 || list[0].ID != second.ID {
				w.Fatalf("newest: %+v", list)
			}
			if list, err = w.Requests(w.ctx, enroll.RequestFilter{}, enroll.Page{After: second.ID}); err != nil || len(list) != 1 || list[0].ID != first.ID {
				w.Fatalf("second page: %+v, %v", list, err)
			}
			w.kind(w.CreateRequests(w.ctx, []enroll.Invite{{Request: enroll.Request{ID: enroll.NewID(), DeviceID: "nobody"}}}), enroll.KindNotFound)
			w.enroll("BBB", fingerprint(1))
			b, err := w.Device(w.ctx, "BBB")
			w.ok(err)
			w.request(b, 100)
			if b, err = w.Device(w.ctx, "BBB"); err != nil || b.State != enroll.StateEnrolled {
				w.Fatalf("an enrolled device became %s", b.State)
			}
		},
		"invitation": func(w *world) {
			d, _, err := w.ChangeDevice(w.ctx, "AAA", &enroll.User{Domain: "local", Email: "ann@example.com", Name: "Ann"}, func(_ *enroll.Device, user string) (enroll.Device, error) {
				return enroll.Device{ID: enroll.NewID(), UserID: user, State: enroll.StatePreEnrolled, Ownership: enroll.OwnershipSelectUser}, nil
			})
			w.ok(err)
			r := w.request(d, 100)
			inv, err := w.Invitation(w.ctx, enroll.HashSecret("secret of "+r.ID))
			w.ok(err)
			if inv.Request != r || inv.Device.Serial != "AAA" || inv.User.Name != "Ann" {
				w.Fatalf("invitation %+v", inv)
			}
			_, err = w.Invitation(w.ctx, [32]byte{1})
			w.kind(err, enroll.KindNotFound)
			accepted, err := w.ChangeRequest(w.ctx, r.ID, func(r enroll.Request) (enroll.Request, error) {
				r.State, r.AcceptedAt, r.Ownership = enroll.RequestAccepted, at(5), enroll.OwnershipPersonal
				return r, nil
			})
			w.ok(err)
			if got, err := w.Request(w.ctx, r.ID); err != nil || got != accepted {
				w.Fatalf("request %+v, %v", got, err)
			}
			if d, err = w.Device(w.ctx, "AAA"); err != nil || !d.AcceptedAt.Equal(at(5)) || d.Ownership != enroll.OwnershipPersonal {
				w.Fatalf("device %+v, %v", d, err)
			}
			_, err = w.ChangeRequest(w.ctx, r.ID, func(r enroll.Request) (enroll.Request, error) {
				r.CreatedBy = "changed"
				return r, r.Usable(at(1000))
			})
			w.kind(err, enroll.KindGone)
			if got, err := w.Request(w.ctx, r.ID); err != nil || got != accepted {
				w.Fatalf("written although refused: %+v, %v", got, err)
			}
			_, err = w.ChangeRequest(w.ctx, "unknown", func(r enroll.Request) (enroll.Request, error) { return r, nil })
			w.kind(err, enroll.KindNotFound)
		},
		"cancel": func(w *world) {
			r := w.request(w.device("AAA"), 100)
			_, err := w.ChangeRequest(w.ctx, r.ID, func(r enroll.Request) (enroll.Request, error) {
				r.State, r.ClosedAt = enroll.RequestCancelled, at(5)
				return r, nil
			})
			w.ok(err)
			if d, err := w.Device(w.ctx, "AAA"); err != nil || d.State != enroll.StatePreEnrolled {
				w.Fatalf("device is %s, %v", d.State, err)
			}
		},
		"expire": func(w *world) {
			old, young := w.request(w.device("AAA"), 50), w.request(w.device("BBB"), 60)
			for i, want := range []int{1, 0} {
				if n, err := w.ExpireRequests(w.ctx, at(60)); err != nil || n != want {
					w.Fatalf("run %d expired %d, %v", i, n, err)
				}
			}
			for serial, want := range map[string]enroll.State{"AAA": enroll.StatePreEnrolled, "BBB": enroll.StateInvited} {
				if d, err := w.Device(w.ctx, serial); err != nil || d.State != want {
					w.Errorf("%s is %s, %v", serial, d.State, err)
				}
			}
			for id, want := range map[string]enroll.RequestState{old.ID: enroll.RequestExpired, young.ID: enroll.RequestSent} {
				if r, err := w.Request(w.ctx, id); err != nil || r.State != want {
					w.Errorf("request %+v, %v", r, err)
				}
			}
		},
	})
}

func testGate(t *testing.T, open func(t *testing.T) *storage.Store) {
	attempt := func(serial string) enroll.Attempt {
		return enroll.Attempt{At: at(1), Channel: enroll.ChannelOTA, Platform: enroll.PlatformIOS, Serial: serial, Evidence: enroll.EvidenceSigned,
			Facts: enroll.Facts{UDID: "u", OSVersion: "26.1"}, RemoteAddr: "192.0.2.1"}
	}
	each(t, open, map[string]func(w *world){
		"admits a listed device": func(w *world) {
			d := w.device("AAA")
			w.settings(w.enforce)
			got, err := enroll.NewGate(w.Store, nil).Decide(w.ctx, attempt("aaa"))
			w.ok(err)
			if got.Code != enroll.AllowListed || got.DeviceID != d.ID || got.Mode != enroll.ModeEnforce {
				w.Fatalf("decision %+v", got)
			}
			stored, err := w.Decision(w.ctx, got.ID)
			w.ok(err)
			if diff := cmp.Diff(got, stored); diff != "" {
				w.Fatalf("(-returned +stored)\n%s", diff)
			}
			var after enroll.Device // as it is stored; nobody else sees the facts yet
			w.change("AAA", func(d *enroll.Device) { after = *d })
			if after.State != enroll.StateEnrolling || after.Facts.OSVersion != "26.1" || after.Version != d.Version+1 {
				w.Fatalf("device %+v", after)
			}
		},
		"refuses a stranger": func(w *world) {
			w.settings(w.enforce)
			got, err := enroll.NewGate(w.Store, nil).Decide(w.ctx, attempt("AAA"))
			w.ok(err)
			if got.Code != enroll.DenyNotPreEnrolled || got.DeviceID != "" {
				w.Fatalf("decision %+v", got)
			}
			_, err = w.Device(w.ctx, "AAA")
			w.kind(err, enroll.KindNotFound)
			if _, err = w.Decision(w.ctx, got.ID); err != nil {
				w.Fatal(err)
			}
			_, err = w.Decision(w.ctx, "unknown")
			w.kind(err, enroll.KindNotFound)
		},
		"makes one row for strangers while open": func(w *world) {
			var mu sync.Mutex
			rows := map[string]bool{}
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					d, err := enroll.NewGate(w.Store, nil).Decide(w.ctx, attempt("AAA"))
					mu.Lock()
					defer mu.Unlock()
					if err != nil || d.Code != enroll.AllowOpen {
						w.Errorf("decision %+v, %v", d, err)
					}
					rows[d.DeviceID] = true
				})
			}
			wg.Wait()
			d, err := w.Device(w.ctx, "AAA")
			w.ok(err)
			if len(rows) != 1 || !rows[d.ID] || d.State != enroll.StateEnrolling {
				w.Fatalf("rows %v, device %+v", rows, d)
			}
			if all, err := w.Decisions(w.ctx, enroll.DecisionFilter{Serial: "AAA"}, enroll.Page{}); err != nil || len(all) != 8 {
				w.Fatalf("%d decisions, %v", len(all), err)
			}
		},
		"takes the request": func(w *world) {
			d, _, err := w.ChangeDevice(w.ctx, "AAA", nil, func(*enroll.Device, string) (enroll.Device, error) {
				return enroll.Device{ID: enroll.NewID(), State: enroll.StatePreEnrolled, Platform: enroll.PlatformIOS, Ownership: enroll.OwnershipSelectUser}, nil
			})
			w.ok(err)
			secret, hash := enroll.NewSecret()
			r := enroll.Request{ID: enroll.NewID(), DeviceID: d.ID, State: enroll.RequestAccepted, Ownership: enroll.OwnershipCorporate, ExpiresAt: at(100)}
			w.ok(w.CreateRequests(w.ctx, []enroll.Invite{{Request: r, Link: enroll.Link{SecretHash: hash}}}))
			gate := enroll.NewGate(w.Store, nil)
			for name, a := range map[string]enroll.Attempt{"secret": {RequestSecret: secret}, "ID": {RequestID: r.ID}} {
				whole := attempt("AAA")
				whole.RequestSecret, whole.RequestID = a.RequestSecret, a.RequestID
				known, err := w.Known(w.ctx, whole)
				w.ok(err)
				if known.Request == nil || *known.Request != r || known.Device == nil {
					w.Fatalf("by %s: %+v", name, known)
				}
				if got, err := gate.Decide(w.ctx, whole); err != nil || got.RequestID != r.ID || !got.Allowed() {
					w.Fatalf("by %s: %+v, %v", name, got, err)
				}
			}
			if d, err = w.Device(w.ctx, "AAA"); err != nil || d.Ownership != enroll.OwnershipCorporate {
				w.Fatalf("device %+v, %v", d, err)
			}
			foreign := attempt("BBB")
			foreign.RequestSecret = secret
			if got, err := gate.Decide(w.ctx, foreign); err != nil || got.Code != enroll.DenyTokenSerialMismatch {
				w.Fatalf("foreign request: %+v, %v", got, err)
			}
			foreign.RequestSecret = "guessed"
			if got, err := gate.Decide(w.ctx, foreign); err != nil || got.Code != enroll.DenyTokenUnknown {
				w.Fatalf("guessed request: %+v, %v", got, err)
			}
		},
		"lists decisions": func(w *world) {
			var ids []string
			for i, code := range []enroll.Code{enroll.AllowListed, enroll.DenyBlocked, enroll.DenyNotPreEnrolled} {
				d := enroll.Decision{ID: enroll.NewID(), At: at(i), Serial: "AAA", Code: code, Outcome: code.Outcome()}
				w.ok(w.RecordDecision(w.ctx, d))
				ids = append(ids, d.ID)
			}
			for _, c := range []struct {
				filter enroll.DecisionFilter
				page   enroll.Page
				want   []string
			}{
				{enroll.DecisionFilter{}, enroll.Page{}, []string{ids[2], ids[1], ids[0]}},
				{enroll.DecisionFilter{}, enroll.Page{Limit: 1, After: ids[2]}, []string{ids[1]}},
				{enroll.DecisionFilter{Outcome: enroll.OutcomeDeny}, enroll.Page{}, []string{ids[2], ids[1]}},
				{enroll.DecisionFilter{Code: enroll.DenyBlocked, Serial: "AAA"}, enroll.Page{}, []string{ids[1]}},
				{enroll.DecisionFilter{Since: at(1)}, enroll.Page{}, []string{ids[2], ids[1]}},
				{enroll.DecisionFilter{Serial: "BBB"}, enroll.Page{}, nil},
			} {
				list, err := w.Decisions(w.ctx, c.filter, c.page)
				w.ok(err)
				var got []string
				for _, d := range list {
					got = append(got, d.ID)
				}
				if !slices.Equal(got, c.want) {
					w.Errorf("%+v: %v, want %v", c.filter, got, c.want)
				}
			}
		},
	})
}
