package storagetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/enroll"
	"rollcall/policy"
	"rollcall/storage"
)

// ruled makes a group with a rule of one condition.
func (w *world) ruled(name string, field enroll.RuleField, values ...string) {
	w.Helper()
	rule, err := enroll.GroupRule{Conditions: []enroll.Condition{{Field: field, Values: values}}}.Normalized()
	w.ok(err)
	w.ok(w.CreateGroup(w.ctx, enroll.Group{ID: "id of " + name, Name: name, Rule: &rule, CreatedAt: start, UpdatedAt: start}))
}

// rerule changes the rule of a group.
func (w *world) rerule(name string, field enroll.RuleField, values ...string) {
	w.Helper()
	rule, err := enroll.GroupRule{Conditions: []enroll.Condition{{Field: field, Values: values}}}.Normalized()
	w.ok(err)
	_, _, err = w.ChangeRule(w.ctx, name, rule)
	w.ok(err)
}

// evaluate applies rules until there is nothing to do.
func (w *world) evaluate() {
	w.Helper()
	for more := true; more; {
		var err error
		more, err = w.EvaluateRules(w.ctx)
		w.ok(err)
	}
}

func (w *world) members(group string) string {
	w.Helper()
	g, err := w.Group(w.ctx, group)
	w.ok(err)
	serials := w.list(enroll.DeviceQuery{DeviceFilter: enroll.DeviceFilter{GroupID: g.ID}}, 1000)
	if len(serials) != g.Devices {
		w.Errorf("group %s counts %d devices and lists %v", group, g.Devices, serials)
	}
	return strings.Join(serials, " ")
}

func (w *world) wantMembers(group, want string) {
	w.Helper()
	if got := w.members(group); got != want {
		w.Errorf("group %s has %q, want %q", group, got, want)
	}
}

func testRuleGroups(t *testing.T, open func(t *testing.T) *storage.Store) {
	each(t, open, map[string]func(w *world){
		"a new rule finds the devices that are there": func(w *world) {
			w.put(enroll.Device{Serial: "AAA", Platform: enroll.PlatformIOS}, "")
			w.put(enroll.Device{Serial: "BBB", Platform: enroll.PlatformAndroid}, "")
			w.ruled("ios", enroll.FieldPlatform, "ios")
			g, err := w.Group(w.ctx, "ios")
			w.ok(err)
			if !g.Evaluation.Running || g.Evaluation.Total != 2 || g.Rule == nil || g.Rule.Conditions[0].Field != enroll.FieldPlatform {
				w.Errorf("before: %+v", g)
			}
			w.wantMembers("ios", "")
			w.evaluate()
			w.wantMembers("ios", "AAA")
			if g, err = w.Group(w.ctx, "ios"); err != nil || g.Evaluation.Running || g.Evaluation.Done != 2 {
				w.Errorf("after: %+v, %v", g, err)
			}
			w.rerule("ios", enroll.FieldPlatform, "android", "apple")
			w.evaluate()
			w.wantMembers("ios", "BBB")
			if _, changed, err := w.ChangeRule(w.ctx, "ios", *mustRule(w, enroll.FieldPlatform, "android", "apple")); err != nil || changed {
				w.Errorf("the same rule again: changed %v, %v", changed, err)
			}
		},
		"every change of a device is followed at once": func(w *world) {
			w.ruled("sales", enroll.FieldEmail, "*@sales.example.com")
			w.ruled("kiosks", enroll.FieldTag, "kiosk")
			w.ruled("enrolled", enroll.FieldState, "enrolled")
			w.ruled("phones", enroll.FieldModel, "iphone*")
			w.ruled("imported", enroll.FieldSource, "csv")
			w.evaluate()
			w.put(enroll.Device{Serial: "AAA", Tags: []string{"Kiosk"}, Sources: map[string]enroll.Source{"serial": enroll.SourceCSV}}, "ann@sales.example.com")
			w.wantMembers("sales", "AAA")
			w.wantMembers("kiosks", "AAA")
			w.wantMembers("imported", "AAA")
			w.put(enroll.Device{Serial: "AAA"}, "bob@example.com")
			w.wantMembers("sales", "")
			w.wantMembers("kiosks", "")
			w.wantMembers("imported", "")

			// The model counts from the acceptance on, here the first TokenUpdate.
			d, err := w.Device(w.ctx, "AAA")
			w.ok(err)
			e := w.authenticate(d, fingerprint(1))
			w.ok(w.RecordFacts(w.ctx, d.ID, enroll.Facts{Model: "iPhone 16"}))
			w.wantMembers("phones", "")
			w.token(e, fingerprint(1))
			w.wantMembers("phones", "AAA")
			w.wantMembers("enrolled", "AAA")
			w.ok(w.RecordFacts(w.ctx, d.ID, enroll.Facts{Model: "iPad"}))
			w.wantMembers("phones", "")
			w.ok(w.CheckOut(w.ctx, e.ID, at(9)))
			w.wantMembers("enrolled", "")
		},
		"an import is followed at once": func(w *world) {
			w.ruled("personal", enroll.FieldOwnership, "personal")
			w.evaluate()
			for i := range 3 {
				w.put(enroll.Device{Serial: fmt.Sprintf("S%d", i), Ownership: enroll.Ownerships[i%2]}, "")
			}
			w.wantMembers("personal", "S0 S2")
		},
		"time makes rows expire": func(w *world) {
			w.ruled("expired", enroll.FieldState, "expired")
			w.evaluate()
			w.put(enroll.Device{Serial: "AAA", ExpiresAt: now().Add(time.Hour)}, "")
			w.put(enroll.Device{Serial: "BBB", ExpiresAt: now().Add(3 * time.Hour)}, "")
			for _, want := range []int{1, 0} {
				if n, err := w.ExpireDevices(w.ctx, now().Add(2*time.Hour)); err != nil || n != want {
					w.Fatalf("%d rows expired, want %d, %v", n, want, err)
				}
			}
			w.wantMembers("expired", "AAA")
			if got := w.list(enroll.DeviceQuery{DeviceFilter: enroll.DeviceFilter{State: enroll.StateExpired}}, 10); strings.Join(got, " ") != "AAA" {
				w.Errorf("the list of expired devices has %v", got)
			}
			w.put(enroll.Device{Serial: "AAA", ExpiresAt: now().Add(9 * time.Hour)}, "")
			w.wantMembers("expired", "")
		},
		"membership makes delivery due": func(w *world) {
			w.enroll("AAA", fingerprint(1))
			w.enroll("BBB", fingerprint(2))
			w.dueDevices()
			w.policy("p", "x")
			w.ruled("tagged", enroll.FieldTag, "x")
			w.bind("p", policy.Target{Group: "tagged"})
			w.evaluate()
			if due := w.dueDevices(); len(due) != 0 {
				w.Fatalf("due without a member: %v", due)
			}
			tag := func(serial string, tags ...string) enroll.Device {
				d, _, err := w.ChangeDevice(w.ctx, serial, nil, func(old *enroll.Device, _ string) (enroll.Device, error) {
					next := *old
					next.Tags = tags
					return next, nil
				})
				w.ok(err)
				return d
			}
			a := tag("AAA", "x")
			if due := w.dueDevices(); !slices.Equal(due, []string{a.ID}) {
				w.Errorf("due after joining: %v", due)
			}
			if ps, err := w.Reaching(w.ctx, policy.Reach{DeviceID: a.ID}); err != nil || len(ps) != 1 {
				w.Errorf("policies of the member: %v, %v", ps, err)
			}
			w.rerule("tagged", enroll.FieldTag, "y")
			w.evaluate()
			if due := w.dueDevices(); !slices.Equal(due, []string{a.ID}) {
				w.Errorf("due after the rule let it go: %v", due)
			}
		},
		"members are not named by hand": func(w *world) {
			w.device("AAA")
			w.ruled("ios", enroll.FieldPlatform, "android")
			w.kind(w.ChangeMembers(w.ctx, "ios", []string{"AAA"}, nil), enroll.KindConflict)
			w.ok(w.CreateGroup(w.ctx, enroll.Group{ID: "static", Name: "static"}))
			_, _, err := w.ChangeRule(w.ctx, "static", *mustRule(w, enroll.FieldSerial, "*"))
			w.kind(err, enroll.KindConflict)
			_, _, err = w.ChangeRule(w.ctx, "nobody", *mustRule(w, enroll.FieldSerial, "*"))
			w.kind(err, enroll.KindNotFound)
			w.ok(w.ChangeMembers(w.ctx, "static", []string{"AAA"}, nil))
			w.wantMembers("static", "AAA")
		},
		"preview": func(w *world) {
			w.crowd(30)
			got, err := w.PreviewRule(w.ctx, *mustRule(w, enroll.FieldPlatform, "ios"), 3)
			w.ok(err)
			want := w.list(enroll.DeviceQuery{DeviceFilter: enroll.DeviceFilter{Platform: enroll.PlatformIOS}}, 100)
			if diff := cmp.Diff(enroll.RulePreview{Devices: 30, Matches: len(want), Examples: want[:3]}, got); diff != "" {
				w.Errorf("(-want +got)\n%s", diff)
			}
		},
		"names of the groups of many": func(w *world) {
			a, b := w.device("AAA"), w.device("BBB")
			for _, name := range []string{"y", "x"} {
				w.ok(w.CreateGroup(w.ctx, enroll.Group{ID: name, Name: name}))
			}
			w.ok(w.ChangeMembers(w.ctx, "x", []string{"AAA", "BBB"}, nil))
			w.ok(w.ChangeMembers(w.ctx, "y", []string{"AAA"}, nil))
			got, err := w.GroupNames(w.ctx, []string{a.ID, b.ID, "nobody"})
			w.ok(err)
			if diff := cmp.Diff(map[string][]string{a.ID: {"x", "y"}, b.ID: {"x"}}, got); diff != "" {
				w.Errorf("(-want +got)\n%s", diff)
			}
		},
		// Devices come and change while a rule changes and two servers apply it:
		// in the end each is where the last rule wants it.
		"rules and devices change at the same time": func(w *world) {
			w.ruled("g", enroll.FieldTag, "t0")
			tagged := func(serial string, i int) {
				if _, _, err := w.ChangeDevice(w.ctx, serial, nil, func(old *enroll.Device, _ string) (enroll.Device, error) {
					d := enroll.Device{ID: enroll.NewID(), State: enroll.StatePreEnrolled, CreatedAt: start}
					if old != nil {
						d = *old
					}
					d.Tags = []string{fmt.Sprintf("t%d", i%4)}
					return d, nil
				}); err != nil {
					w.Error(err)
				}
			}
			for i := range 20 {
				tagged(fmt.Sprintf("S%02d", i), i)
			}
			var wg sync.WaitGroup
			for worker := range 4 {
				wg.Go(func() {
					for i := range 20 {
						tagged(fmt.Sprintf("S%02d", (i*7+worker*13)%40), i+worker)
					}
				})
			}
			wg.Go(func() {
				for i := range 8 {
					w.rerule("g", enroll.FieldTag, fmt.Sprintf("t%d", (i+1)%4))
					if _, err := w.EvaluateRules(w.ctx); err != nil {
						w.Error(err)
					}
				}
			})
			wg.Go(func() {
				for range 8 {
					if _, err := w.EvaluateRules(w.ctx); err != nil {
						w.Error(err)
					}
				}
			})
			wg.Wait()
			w.evaluate()
			w.wantMembers("g", strings.Join(w.list(enroll.DeviceQuery{DeviceFilter: enroll.DeviceFilter{Tag: "t0"}}, 100), " "))
		},
	})
}

func mustRule(w *world, field enroll.RuleField, values ...string) *enroll.GroupRule {
	w.Helper()
	rule, err := enroll.GroupRule{Conditions: []enroll.Condition{{Field: field, Values: values}}}.Normalized()
	w.ok(err)
	return &rule
}

func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
