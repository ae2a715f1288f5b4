package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"time"

	"rollcall/cmd/rollcall/app"
	"rollcall/enroll"
	"rollcall/mdm"
	"rollcall/policy"
	"rollcall/policy/document"
	"rollcall/storage"
)

const (
	policyDatabase = "policy"
	policyDevice   = "POLICYTEMPLATE"
	policyName     = "Everybody"
	compilations   = 500
)

// withPolicy measures what becomes of a change that many devices get.
func (b *bench) withPolicy(ctx context.Context) error {
	if !b.wants(partPolicy) {
		return nil
	}
	db, err := b.engine.create(policyDatabase)
	if err != nil {
		return err
	}
	defer db.drop(b.engine, policyDatabase)
	o := app.Options{DataDir: filepath.Join(b.dir, policyDatabase), Database: db.dsn, TLS: app.TLSOwn, MaxConns: 16, LogLevel: "error"}
	if err := o.Check(); err != nil {
		return err
	}
	if b.result.Version, err = db.look(ctx); err != nil {
		return err
	}
	store, err := app.OpenStore(ctx, o)
	if err != nil {
		return err
	}
	defer store.Close()
	deliverer := policy.NewDeliverer(store, mdm.Encoder{Profiles: &mdm.Profiles{Organization: "Bench"}}, policy.Options{})
	if err := fillPolicy(ctx, db, store, deliverer, b.scale.Managed); err != nil {
		return err
	}
	return b.steps(ctx, []step{{partPolicy, func(ctx context.Context) error { return b.policies(ctx, db, store, deliverer) }}})
}

// policyDocument is one with several features; n makes another one.
func policyDocument(n int) document.Document {
	ssid := fmt.Sprintf("Network %d", n)
	return document.Document{
		Restrictions: &document.Restrictions{Camera: document.Deny, Backup: document.Deny, EncryptedBackup: document.Require},
		Passcode:     &document.Passcode{Required: true, MinLength: 4 + n%8},
		WiFi:         []document.WiFi{{SSID: ssid, Security: "wpa2", Password: "correct horse"}, {SSID: "Guests", Security: "wpa2", Password: "battery staple"}},
		WebClips:     []document.WebClip{{Name: "Intranet", URL: "https://intranet.example.com/"}},
		Apps:         &document.Apps{Required: []document.App{{Name: "Office", BundleID: "com.example.office", AppStoreID: 1}}},
		LockMessage:  "Property of Example",
	}
}

// fillPolicy makes n enrolled devices that have all of a policy of their group.
func fillPolicy(ctx context.Context, db *database, store *storage.Store, deliverer *policy.Deliverer, n int) error {
	platform, ownership := enroll.PlatformIOS, enroll.OwnershipCorporate
	d, _, _, err := enroll.NewRoll(store, time.Now).Put(ctx, policyDevice, enroll.DeviceInput{Platform: &platform, Ownership: &ownership})
	if err != nil {
		return err
	}
	if err := store.CreateGroup(ctx, enroll.Group{ID: rollGroup, Name: rollGroup}); err != nil {
		return err
	}
	if err := store.ChangeMembers(ctx, rollGroup, []string{d.Serial}, nil); err != nil {
		return err
	}
	supervised := true
	e, err := store.Authenticate(ctx, mdm.Authentication{DeviceID: d.ID, UDID: "bench", Fingerprint: "bench", Topic: "com.apple.mgmt.bench",
		Facts: enroll.Facts{UDID: "bench", Product: "iPhone17,2", OSVersion: "26.1", Supervised: &supervised}, At: time.Now()})
	if err != nil {
		return err
	}
	if _, err := store.TokenUpdate(ctx, mdm.TokenUpdate{Enrollment: e, Fingerprint: "bench", Topic: "com.apple.mgmt.bench", Token: []byte{1}, PushMagic: "bench", At: time.Now()}); err != nil {
		return err
	}
	if err := savePolicy(ctx, store, 0); err != nil {
		return err
	}
	if _, err := store.Bind(ctx, policyName, policy.Target{Group: rollGroup}); err != nil {
		return err
	}
	if _, err := deliverer.Once(ctx); err != nil {
		return err
	}
	if err := db.exec(ctx, "UPDATE commands SET state = 'acknowledged', attempts = 1, finished_at = queued_at + 1"); err != nil {
		return err
	}
	number := "'-' || " + db.hex(8, "n.i")
	own := func(columns ...string) map[string]string {
		replaced := map[string]string{}
		for _, c := range columns {
			replaced[c] = "t." + c + " || " + number
		}
		return replaced
	}
	for _, t := range []struct {
		table   string
		columns []string
	}{
		{"devices", []string{"id", "serial", "enrollment_id"}},
		{"memberships", []string{"device_id", "serial"}},
		{"enrollments", []string{"id", "device_id", "udid", "fingerprint"}},
		{"deliveries", []string{"device_id"}},
		{"commands", []string{"enrollment_id", "id"}},
		{"delivered", []string{"enrollment_id", "command_id"}},
		{"declarative", []string{"enrollment_id"}},
		{"delivery_notes", []string{"enrollment_id"}},
	} {
		if err := db.multiply(ctx, t.table, "true", n-1, own(t.columns...)); err != nil {
			return err
		}
	}
	return nil
}

func savePolicy(ctx context.Context, store *storage.Store, n int) error {
	_, _, err := store.ChangePolicy(ctx, policyName, func(old *policy.Policy) (policy.Policy, error) {
		p := policy.Policy{Name: policyName}
		if old != nil {
			p = *old
		}
		p.Document = policyDocument(0)
		p.Document.WiFi[1].Password = document.Secret(fmt.Sprintf("battery staple %d", n))
		return p, p.Check()
	})
	return err
}

// policies measures merging and compiling, and a change from its save to the
// last command in a queue.
func (b *bench) policies(ctx context.Context, db *database, store *storage.Store, deliverer *policy.Deliverer) error {
	saved := 0
	return b.runs(partPolicy, func() (map[figure]float64, cost, error) {
		compiled, err := compileMany()
		if err != nil {
			return nil, cost{}, err
		}
		if b.profiling != "" {
			f, err := os.Create(b.profiling)
			if err != nil {
				return nil, cost{}, err
			}
			defer f.Close()
			if err := pprof.StartCPUProfile(f); err != nil {
				return nil, cost{}, err
			}
			defer pprof.StopCPUProfile()
		}
		queued, err := db.count(ctx, "SELECT count(*) FROM commands WHERE state = 'queued'")
		if err != nil {
			return nil, cost{}, err
		}
		before := cpuOf(os.Getpid(), db.postmaster)
		start := time.Now()
		saved++
		if err := savePolicy(ctx, store, saved); err != nil {
			return nil, cost{}, err
		}
		var most int64
		for n := 1; n > 0; {
			if n, err = deliverer.Once(ctx); err != nil {
				return nil, cost{}, err
			}
			resident, err := residentBytes(os.Getpid())
			if err != nil {
				return nil, cost{}, err
			}
			most = max(most, resident)
		}
		took := time.Since(start)
		c := cost{usage: cpuOf(os.Getpid(), db.postmaster).minus(before), Count: b.scale.Managed}
		c.Load = 0 // nobody answers
		now, err := db.count(ctx, "SELECT count(*) FROM commands WHERE state = 'queued'")
		if err != nil {
			return nil, c, err
		}
		if now-queued < b.scale.Managed && saved == 1 {
			return nil, c, fmt.Errorf("bench: %d commands were queued for %d devices", now-queued, b.scale.Managed)
		}
		return map[figure]float64{policyCompile: compiled, policyChange: took.Seconds(), memoryPolicy: float64(most) / (1 << 20)}, c, db.settle(ctx, "commands")
	})
}

// compileMany gives the median time in milliseconds that ten policies of one
// device take, each time anew.
func compileMany() (float64, error) {
	bound := make([]policy.Bound, 10)
	for i := range bound {
		d := policyDocument(i)
		d.DeviceName = "iPhone {serial}" // so that nothing is the same for two devices
		bound[i] = policy.Bound{Policy: policy.Policy{ID: fmt.Sprint("policy ", i), Name: fmt.Sprint("Policy ", i), Version: 1, Document: d}, Via: "group:" + fmt.Sprint(i)}
	}
	d := enroll.Device{Serial: policyDevice, Platform: enroll.PlatformIOS, Facts: enroll.Facts{Product: "iPhone17,2", OSVersion: "26.1"}}
	took := make([]time.Duration, compilations)
	for i := range took {
		start := time.Now()
		desire := policy.NewPlanner().Desire(bound, policy.TargetOf(d, false), policy.VariablesOf(d, policy.Person{}, "Bench"), "")
		took[i] = time.Since(start)
		if len(desire.Items) < 10 {
			return 0, fmt.Errorf("bench: ten policies became %d items", len(desire.Items))
		}
	}
	slices.Sort(took)
	return quantile(took, 0.5), nil
}
