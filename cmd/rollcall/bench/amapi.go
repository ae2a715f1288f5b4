package bench

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"rollcall/android/amapi"
	"rollcall/android/google"
	"rollcall/cmd/rollcall/app"
	"rollcall/enroll"
	"rollcall/mdm"
	"rollcall/policy"
	"rollcall/policy/document"
	"rollcall/storage"
)

const (
	amapiDatabase   = "amapi"
	amapiEnterprise = "enterprises/bench"
)

// withAMAPI measures what Google's notifications cost, and what a policy change
// costs in calls.
func (b *bench) withAMAPI(ctx context.Context) error {
	if !b.wants(partAMAPI) {
		return nil
	}
	db, err := b.engine.create(amapiDatabase)
	if err != nil {
		return err
	}
	defer db.drop(b.engine, amapiDatabase)
	o := app.Options{DataDir: filepath.Join(b.dir, amapiDatabase), Database: db.dsn, TLS: app.TLSOwn, MaxConns: 16, LogLevel: "error"}
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
	g := &googleBench{bench: b, db: db, store: store}
	if err := g.start(ctx); err != nil {
		return err
	}
	defer g.close()
	if err := g.fill(ctx, b.scale.Managed); err != nil {
		return err
	}
	return b.steps(ctx, []step{{partAMAPI, g.measure}})
}

// googleBench is a Google that takes everything, and counts.
type googleBench struct {
	*bench
	db        *database
	store     *storage.Store
	server    *httptest.Server
	clouds    *amapi.Clouds
	connector *amapi.Connector
	deliverer *policy.Deliverer
	calls     atomic.Int64
	version   atomic.Int64
	saved     int
	messages  int
}

func (g *googleBench) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.URL.Path == "/token":
		fmt.Fprint(w, `{"access_token":"bench","expires_in":3600}`)
	case strings.Contains(r.URL.Path, "/policies/"):
		g.calls.Add(1)
		fmt.Fprintf(w, `{"version":"%d"}`, g.version.Add(1))
	default:
		g.calls.Add(1)
		fmt.Fprint(w, `{}`)
	}
}

func (g *googleBench) close() {
	g.clouds.Close()
	g.server.Close()
}

// start connects the store to this Google.
func (g *googleBench) start(ctx context.Context) error {
	g.server = httptest.NewServer(g)
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	key, err := json.Marshal(map[string]string{"type": "service_account", "project_id": "bench", "private_key_id": "1", "client_email": "bench@example.com", "token_uri": g.server.URL + "/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))})
	if err != nil {
		return err
	}
	if _, err := google.ParseServiceAccount(key); err != nil {
		return err
	}
	if err := g.store.PutSecret(ctx, "amapi/service_account", key); err != nil {
		return err
	}
	now := time.Now()
	if _, err := g.store.ChangeOrganization(ctx, func(*amapi.Organization) (amapi.Organization, error) {
		return amapi.Organization{Project: "bench", Account: "bench@example.com", KeyID: "1", Name: amapiEnterprise, Delivery: amapi.Push, Settings: amapi.DefaultSettings(), SetUpAt: now}, nil
	}); err != nil {
		return err
	}
	// What is measured is not the comparison with an empty Google.
	for _, job := range []string{"reconcile", "quarantine"} {
		if _, err := g.store.ClaimJob(ctx, job, "bench", now, 24*time.Hour); err != nil {
			return err
		}
	}
	if g.clouds, err = amapi.NewClouds(amapi.Endpoints{Management: g.server.URL, PubSub: g.server.URL}, g.store, nil); err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	g.connector = &amapi.Connector{Store: g.store, Clouds: g.clouds, Gate: enroll.NewGate(g.store, nil), Log: log}
	g.deliverer = policy.NewDeliverer(g.store, mdm.Encoder{Profiles: &mdm.Profiles{Organization: "Bench"}}, policy.Options{Encoders: map[policy.Protocol]policy.Encoder{policy.ProtocolAMAPI: amapi.Encoder{}}})
	return nil
}

// fill makes n devices that have all of a policy of their group.
func (g *googleBench) fill(ctx context.Context, n int) error {
	platform, ownership := enroll.PlatformAndroid, enroll.OwnershipCorporate
	d, _, _, err := enroll.NewRoll(g.store, time.Now).Put(ctx, "AMAPITEMPLATE", enroll.DeviceInput{Platform: &platform, Ownership: &ownership})
	if err != nil {
		return err
	}
	if err := errors.Join(g.store.CreateGroup(ctx, enroll.Group{ID: rollGroup, Name: rollGroup}), g.store.ChangeMembers(ctx, rollGroup, []string{d.Serial}, nil)); err != nil {
		return err
	}
	if _, err := g.store.Admit(ctx, amapi.Admission{Record: amapi.Record{Name: amapiEnterprise + "/devices/1", DeviceID: d.ID, Serial: d.Serial, Mode: amapi.FullyManaged}, At: time.Now()}); err != nil {
		return err
	}
	if err := g.save(ctx); err != nil {
		return err
	}
	if _, err := g.store.Bind(ctx, policyName, policy.Target{Group: rollGroup}); err != nil {
		return err
	}
	if err := errors.Join(g.deliver(ctx), g.reports(ctx)); err != nil {
		return err
	}
	// An answer is sealed for its own command, so the copies have none.
	if err := g.db.exec(ctx, "UPDATE commands SET result = NULL"); err != nil {
		return err
	}
	number := "'-' || " + g.db.hex(8, "n.i")
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
		{"amapi_devices", []string{"name", "device_id", "enrollment_id", "serial"}},
	} {
		replaced := map[string]string{}
		for _, c := range t.columns {
			replaced[c] = "t." + c + " || " + number
		}
		if err := g.db.multiply(ctx, t.table, "true", n-1, replaced); err != nil {
			return err
		}
	}
	return nil
}

// save makes another version of the policy.
func (g *googleBench) save(ctx context.Context) error {
	g.saved++
	_, _, err := g.store.ChangePolicy(ctx, policyName, func(old *policy.Policy) (policy.Policy, error) {
		p := policy.Policy{Name: policyName}
		if old != nil {
			p = *old
		}
		p.Document = document.Document{Restrictions: &document.Restrictions{Camera: document.Deny}, LockMessage: fmt.Sprint("Property of Example ", g.saved)}
		return p, p.Check()
	})
	return err
}

// deliver plans what is due and gives it to Google.
func (g *googleBench) deliver(ctx context.Context) error {
	for n := 1; n > 0; {
		var err error
		if n, err = g.deliverer.Once(ctx); err != nil {
			return err
		}
	}
	for {
		g.connector.Once(ctx)
		left, err := g.store.PendingPolicies(ctx, 1)
		if err != nil || len(left) == 0 {
			return err
		}
	}
}

// reports lets every device tell that it has its policy.
func (g *googleBench) reports(ctx context.Context) error {
	now := time.Now().UTC()
	for after := ""; ; {
		records, err := g.store.Records(ctx, amapi.RecordEnrolled, enroll.Page{Limit: 100, After: after})
		if err != nil {
			return err
		}
		if len(records) == 0 {
			break
		}
		messages := make([]amapi.Message, len(records))
		for i, r := range records {
			after = r.Name
			data, err := json.Marshal(map[string]any{"name": r.Name, "managementMode": amapi.DeviceOwner, "ownership": amapi.CompanyOwned, "state": "ACTIVE", "apiLevel": 36,
				"appliedPolicyName": r.Policy, "appliedPolicyVersion": fmt.Sprint(r.PolicyVersion), "lastStatusReportTime": now, "hardwareInfo": map[string]string{"serialNumber": r.Serial, "model": "Pixel 10"}})
			if err != nil {
				return err
			}
			g.messages++
			messages[i] = amapi.Message{ID: fmt.Sprint("bench-", g.messages), Kind: "STATUS_REPORT", Data: data, PublishedAt: now, ReceivedAt: now}
		}
		if _, err := g.store.StoreNotifications(ctx, messages); err != nil {
			return err
		}
	}
	for g.connector.Once(ctx) {
	}
	return nil
}

// measure changes the policy of all devices, and then lets all of them report.
func (g *googleBench) measure(ctx context.Context) error {
	return g.runs(partAMAPI, func() (map[figure]float64, cost, error) {
		calls := g.calls.Load()
		queued, err := g.db.count(ctx, "SELECT count(*) FROM commands")
		if err == nil {
			err = g.save(ctx)
		}
		if err != nil {
			return nil, cost{}, err
		}
		start := time.Now()
		if err := g.deliver(ctx); err != nil {
			return nil, cost{}, err
		}
		changed := time.Since(start)
		calls = g.calls.Load() - calls
		now, err := g.db.count(ctx, "SELECT count(*) FROM commands")
		if err == nil && now-queued != g.scale.Managed {
			err = fmt.Errorf("bench: %d policies were given to %d devices", now-queued, g.scale.Managed)
		}
		if err != nil {
			return nil, cost{}, err
		}
		before := cpuOf(os.Getpid(), g.db.postmaster)
		start = time.Now()
		if err := g.reports(ctx); err != nil {
			return nil, cost{}, err
		}
		reported := time.Since(start)
		c := cost{usage: cpuOf(os.Getpid(), g.db.postmaster).minus(before), Count: g.scale.Managed}
		c.Load = 0 // the load is a loop
		open, err := g.db.count(ctx, "SELECT count(*) FROM commands WHERE finished_at = 0")
		if err == nil && open > 0 {
			err = fmt.Errorf("bench: %d commands are open although every device has reported", open)
		}
		return map[figure]float64{amapiNotifications: reported.Seconds(), amapiChange: changed.Seconds(), amapiCalls: float64(calls)}, c, err
	})
}
