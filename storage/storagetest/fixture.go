package storagetest

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/enroll"
	"rollcall/mdm"
	"rollcall/mdm/apns"
	"rollcall/policy"
	"rollcall/policy/document"
	"rollcall/storage"
)

// Sealer is a sealer with a fixed key.
func Sealer() storage.Sealer {
	s, err := certs.NewSealer(certs.Key{1, 2, 3})
	if err != nil {
		panic(err) // the key is good
	}
	return s
}

// Open opens a store for a test and closes it at its end.
func Open(t testing.TB, dsn string) *storage.Store {
	t.Helper()
	s, err := storage.Open(t.Context(), config(dsn))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// config keeps expected retries and migrations out of the output.
func config(dsn string) storage.Config {
	return storage.Config{DSN: dsn, Sealer: Sealer(), Logger: slog.New(slog.DiscardHandler)}
}

// start is the time at which the tests begin.
var start = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// at is a time some seconds after start.
func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

// world is a store with what tests do to it, failing on any error.
type world struct {
	testing.TB
	*storage.Store
	ctx context.Context
}

func newWorld(t testing.TB, s *storage.Store) *world { return &world{t, s, t.Context()} }

func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) kind(err error, want enroll.Kind) {
	w.Helper()
	if enroll.KindOf(err) != want {
		w.Fatalf("error %v has the kind %q, want %q", err, enroll.KindOf(err), want)
	}
}

// device puts a serial on the roll.
func (w *world) device(serial string) enroll.Device {
	w.Helper()
	d, _, err := w.ChangeDevice(w.ctx, serial, nil, func(old *enroll.Device, _ string) (enroll.Device, error) {
		if old != nil {
			return *old, nil
		}
		return enroll.Device{ID: enroll.NewID(), Serial: serial, SerialRaw: strings.ToLower(serial), Platform: enroll.PlatformIOS,
			Ownership: enroll.OwnershipCorporate, State: enroll.StatePreEnrolled, Sources: map[string]enroll.Source{"serial": enroll.SourceAPI}, CreatedAt: start}, nil
	})
	w.ok(err)
	return d
}

// owned puts a serial on the roll with an owner in the domain "local".
func (w *world) owned(serial, email string) enroll.Device {
	w.Helper()
	d, _, err := w.ChangeDevice(w.ctx, serial, &enroll.User{Domain: enroll.DefaultDomain, Email: email}, func(_ *enroll.Device, userID string) (enroll.Device, error) {
		return enroll.Device{ID: enroll.NewID(), Serial: serial, SerialRaw: serial, Platform: enroll.PlatformIOS, Ownership: enroll.OwnershipCorporate,
			State: enroll.StatePreEnrolled, UserID: userID, CreatedAt: start}, nil
	})
	w.ok(err)
	return d
}

func fingerprint(n int) string { return fmt.Sprintf("%064x", n) }

// authenticate starts an enrollment of a device with a certificate.
func (w *world) authenticate(d enroll.Device, fp string) mdm.Enrollment {
	w.Helper()
	e, err := w.Authenticate(w.ctx, mdm.Authentication{DeviceID: d.ID, UDID: "udid-" + d.Serial, Fingerprint: fp, Topic: "com.apple.mgmt.test",
		Facts: enroll.Facts{UDID: "udid-" + d.Serial, OSVersion: "26.1"}, DecisionID: "decision", At: at(1)})
	w.ok(err)
	return e
}

// enroll takes a device through Authenticate and TokenUpdate.
func (w *world) enroll(serial, fp string) mdm.Enrollment {
	w.Helper()
	e := w.authenticate(w.device(serial), fp)
	w.token(e, fp)
	got, err := w.EnrollmentByID(w.ctx, e.ID)
	w.ok(err)
	return got
}

// token sends the TokenUpdate of a device channel.
func (w *world) token(e mdm.Enrollment, fp string) bool {
	w.Helper()
	first, err := w.TokenUpdate(w.ctx, mdm.TokenUpdate{Enrollment: e, Fingerprint: fp, Topic: "com.apple.mgmt.test", Token: []byte{0xAA, 1}, PushMagic: "magic",
		UnlockToken: []byte("unlock"), At: at(2)})
	w.ok(err)
	return first
}

// queue adds commands and gives their IDs.
func (w *world) queue(enrollmentID string, n int) []string {
	w.Helper()
	ids := make([]string, n)
	commands := make([]mdm.Command, n)
	for i := range commands {
		ids[i] = enroll.NewID()
		commands[i] = mdm.Command{ID: ids[i], RequestType: "DeviceInformation", Body: []byte("body of " + ids[i])}
	}
	w.ok(w.Enqueue(w.ctx, enrollmentID, commands, at(3)))
	return ids
}

// acknowledge reports a result at a second.
func (w *world) acknowledge(enrollmentID, commandID string, second int) mdm.Reported {
	w.Helper()
	r, err := w.Report(w.ctx, mdm.Report{EnrollmentID: enrollmentID, CommandID: commandID, State: policy.CommandAcknowledged, Result: []byte("result"), At: at(second)}, time.Minute)
	w.ok(err)
	return r
}

// dueDevices claims and commits empty plans for everything that is due, and
// tells for which devices.
func (w *world) dueDevices() []string {
	w.Helper()
	due, err := w.ClaimDue(w.ctx, at(100), time.Minute, 1000)
	w.ok(err)
	ids := make([]string, len(due))
	for i, d := range due {
		ids[i] = d.DeviceID
		w.ok(w.commit(d, "", nil, nil, nil, at(100)))
	}
	return ids
}

// commit writes the plan of one device.
func (w *world) commit(due policy.Due, enrollmentID string, commands []policy.Command, cancel, forget []string, at time.Time) error {
	return w.Commit(w.ctx, []policy.Commit{{Due: due, EnrollmentID: enrollmentID, Commands: commands, Cancel: cancel, Forget: forget}}, at)
}

// situation reads one device.
func (w *world) situation(deviceID string) (policy.Situation, error) {
	all, err := w.Situations(w.ctx, []string{deviceID})
	return all[deviceID], err
}

// pushes claims and finishes everything that is due at a second, and tells for
// which enrollments.
func (w *world) pushes(second int) []string {
	w.Helper()
	claimed, err := w.ClaimPushes(w.ctx, at(second), time.Minute, 1000)
	w.ok(err)
	ids := make([]string, len(claimed))
	for i, p := range claimed {
		ids[i] = p.EnrollmentID
	}
	w.sent(claimed, second)
	return ids
}

func (w *world) sent(claimed []apns.Push, second int) {
	w.Helper()
	results := make([]apns.Result, len(claimed))
	for i, p := range claimed {
		results[i] = apns.Result{Push: p, Outcome: apns.Sent, At: at(second)}
	}
	w.ok(w.FinishPushes(w.ctx, results))
}

// policy makes or changes a policy with one profile that has a secret.
func (w *world) policy(name, secret string) policy.Policy {
	w.Helper()
	p, _, err := w.ChangePolicy(w.ctx, name, func(old *policy.Policy) (policy.Policy, error) {
		p := policy.Policy{Name: name, CreatedAt: start}
		if old != nil {
			p = *old
		}
		p.Document = document.Document{Apple: &document.Apple{Profiles: []document.Profile{{ID: "wifi", Payloads: []document.Payload{{Type: "com.apple.wifi.managed",
			Content: document.Dict{"Password": secret, "Raw": []byte{1}, "Real": 1.0, "Number": int64(1)}}}}}}}
		return p, nil
	})
	w.ok(err)
	return p
}

func (w *world) bind(name string, to policy.Target) {
	w.Helper()
	changed, err := w.Bind(w.ctx, name, to)
	w.ok(err)
	if !changed {
		w.Fatalf("binding %s to %+v changed nothing", name, to)
	}
}

// request invites a device until a second.
func (w *world) request(d enroll.Device, until int) enroll.Request {
	w.Helper()
	r := enroll.Request{ID: enroll.NewID(), DeviceID: d.ID, UserID: d.UserID, Via: enroll.ViaLink, State: enroll.RequestSent, CreatedBy: "admin", CreatedAt: start, ExpiresAt: at(until)}
	w.ok(w.CreateRequests(w.ctx, []enroll.Invite{{Request: r, Link: enroll.Link{SecretHash: enroll.HashSecret("secret of " + r.ID)}}}))
	return r
}

// Enroll takes a device through Authenticate and TokenUpdate.
func Enroll(t testing.TB, s *storage.Store, serial, fingerprint string) mdm.Enrollment {
	return newWorld(t, s).enroll(serial, fingerprint)
}

// History queues n commands of an enrollment and acknowledges them.
func History(t testing.TB, s *storage.Store, enrollmentID string, n int) {
	t.Helper()
	w := newWorld(t, s)
	for _, id := range w.queue(enrollmentID, n) {
		w.acknowledge(enrollmentID, id, 4)
	}
}
