package storage

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/enroll"
	"rollcall/mdm"
	"rollcall/policy"
	"rollcall/policy/document"
	"rollcall/storage/pgtest"
)

// tables lists the tables in the catalogue.
func tables(t *testing.T, s *Store) []string {
	t.Helper()
	query := `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name`
	if s.Engine() == "postgres" {
		query = `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY table_name COLLATE "C"`
	}
	var names []string
	if err := s.all(t.Context(), &names, query); err != nil {
		t.Fatal(err)
	}
	return names
}

// migrated reads the migrations for the tables they make and their versions.
func migrated(t *testing.T, engine string) (tables []string, versions []int) {
	t.Helper()
	files, err := migrations.ReadDir("migrations/" + engine)
	if err != nil {
		t.Fatal(err)
	}
	made := regexp.MustCompile(`(?m)^CREATE TABLE (\w+)`)
	for _, f := range files {
		text, err := migrations.ReadFile("migrations/" + engine + "/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range made.FindAllStringSubmatch(string(text), -1) {
			tables = append(tables, m[1])
		}
		version, err := strconv.Atoi(f.Name()[:4])
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, version)
	}
	tables = append(tables, "goose_db_version")
	slices.Sort(tables)
	return slices.Compact(tables), versions // one that is dropped and made anew is one
}

// TestMigrate: a fresh database has every table that a migration makes, also
// when several servers start at once, and migrating again changes nothing.
func TestMigrate(t *testing.T) {
	onEngines(t, func(t *testing.T, dsn string) {
		// Several servers start at once on an empty database.
		stores := make([]*Store, 4)
		var wg sync.WaitGroup
		for i := range stores {
			wg.Go(func() {
				s, err := Open(context.Background(), testConfig(t, dsn))
				if err != nil {
					t.Error(err)
					return
				}
				stores[i] = s
			})
		}
		wg.Wait()
		for _, s := range stores {
			if s != nil {
				defer s.Close()
			}
		}
		if t.Failed() {
			return
		}
		s := stores[0]
		want, versions := migrated(t, s.Engine())
		if diff := cmp.Diff(want, tables(t, s)); diff != "" {
			t.Errorf("tables (-want +got)\n%s", diff)
		}
		if err := s.PutSecret(t.Context(), "kept", []byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatalf("a second time: %v", err)
		}
		var applied []int
		if err := s.all(t.Context(), &applied, `SELECT version_id FROM goose_db_version WHERE version_id > 0 ORDER BY id`); err != nil || !cmp.Equal(applied, versions) {
			t.Errorf("migrations applied: %v, %v", applied, err)
		}
		if _, err := s.Secret(t.Context(), "kept"); err != nil {
			t.Error(err)
		}
	})
}

// TestSealed looks for plaintext in everything that is stored.
func TestSealed(t *testing.T) {
	secret := []byte("PLAINTEXT-that-must-not-be-found")
	fill := func(t *testing.T, s *Store) {
		t.Helper()
		ctx := t.Context()
		d, _, err := s.ChangeDevice(ctx, "AAA", nil, func(*enroll.Device, string) (enroll.Device, error) {
			return enroll.Device{ID: enroll.NewID(), State: enroll.StatePreEnrolled}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		e, err := s.Authenticate(ctx, mdm.Authentication{DeviceID: d.ID, UDID: "u", Fingerprint: "f", At: now()})
		if err != nil {
			t.Fatal(err)
		}
		_, tokenErr := s.TokenUpdate(ctx, mdm.TokenUpdate{Enrollment: e, Fingerprint: "f", Token: []byte{1}, UnlockToken: secret, At: now()})
		_, _, secretErr := s.CreateSecret(ctx, "two", secret)
		_, _, policyErr := s.ChangePolicy(ctx, "p", func(*policy.Policy) (policy.Policy, error) {
			return policy.Policy{Name: "p", Document: document.Document{WiFi: []document.WiFi{{SSID: "a", Security: "wpa2", Password: document.Secret(secret)}}}}, nil
		})
		_, reportErr := s.Report(ctx, mdm.Report{EnrollmentID: e.ID, CommandID: "open", State: policy.CommandFailed, At: now()}, time.Minute)
		if err := errors.Join(tokenErr, secretErr, policyErr, reportErr,
			s.PutSecret(ctx, "one", secret),
			s.SetBootstrapToken(ctx, e.ID, secret),
			s.Enqueue(ctx, e.ID, []mdm.Command{{ID: "c", Body: secret}}, now())); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Report(ctx, mdm.Report{EnrollmentID: e.ID, CommandID: "c", State: policy.CommandFailed, Result: secret, At: now()}, time.Minute); err != nil {
			t.Fatal(err)
		}
		// What was sealed for one row does not open in another.
		if err := s.write(ctx, func(tx *session) error {
			_, err := tx.exec(ctx, `UPDATE secrets SET value = (SELECT o.value FROM secrets o WHERE o.name = 'one') WHERE name = 'two'`)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if value, err := s.Secret(ctx, "two"); err == nil {
			t.Errorf("a value moved from another row opened as %q", value)
		}
	}
	t.Run("sqlite", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "rollcall.db")
		s := openTest(t, "sqlite:"+path)
		fill(t, s)
		for _, file := range []string{path, path + "-wal"} {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(content, secret) {
				t.Errorf("%s holds plaintext", filepath.Base(file))
			}
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: mode %v, %v", filepath.Base(file), info.Mode(), err)
			}
		}
	})
	if pgtest.Skipped() {
		return
	}
	t.Run("postgres", func(t *testing.T) {
		s := openTest(t, pgtest.Database(t, ""))
		fill(t, s)
		rows := 0
		for _, table := range tables(t, s) {
			var lines []string
			if err := s.all(t.Context(), &lines, fmt.Sprintf(`SELECT CAST(t AS text) FROM %s AS t`, table)); err != nil {
				t.Fatal(err)
			}
			for _, line := range lines {
				rows++
				if strings.Contains(line, string(secret)) || strings.Contains(line, hex.EncodeToString(secret)) {
					t.Errorf("%s holds plaintext", table)
				}
			}
		}
		if rows < 7 {
			t.Errorf("only %d rows were looked at", rows)
		}
	})
}

// TestClosuresAreIndependent: whether or not they share a commit, one that
// fails or panics undoes itself and nothing else.
func TestClosuresAreIndependent(t *testing.T) {
	onEngines(t, func(t *testing.T, dsn string) {
		s := openTest(t, dsn)
		boom := errors.New("boom")
		put := func(name string, then func() error) error {
			return s.write(t.Context(), func(tx *session) error {
				if _, err := tx.exec(t.Context(), `INSERT INTO settings (name, value, updated_at) VALUES (?, '', 0)`, name); err != nil {
					return err
				}
				return then()
			})
		}
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() {
				name := fmt.Sprintf("%02d", i)
				switch i % 3 {
				case 0:
					if err := put(name, func() error { return nil }); err != nil {
						t.Error(err)
					}
				case 1:
					if err := put(name, func() error { return boom }); !errors.Is(err, boom) {
						t.Errorf("error %v", err)
					}
				case 2:
					defer func() {
						if p := recover(); p != "bang" {
							t.Errorf("recovered %v", p)
						}
					}()
					put(name, func() error { panic("bang") })
				}
			})
		}
		wg.Wait()
		var names []string
		if err := s.all(t.Context(), &names, `SELECT name FROM settings ORDER BY name`); err != nil {
			t.Fatal(err)
		}
		if len(names) != 20 {
			t.Errorf("%d closures are in the database: %v", len(names), names)
		}
	})
}

// TestSQLiteCancelInGroup: a caller that goes away in the middle of its closure
// takes nobody's work with it, which an interrupted statement would.
func TestSQLiteCancelInGroup(t *testing.T) {
	s := openTest(t, "sqlite:"+filepath.Join(t.TempDir(), "rollcall.db"))
	ctx, cancel := context.WithCancel(t.Context())
	err := s.write(ctx, func(tx *session) error {
		cancel()
		_, err := tx.exec(ctx, `INSERT INTO settings (name, value, updated_at) VALUES ('x', '', 0)`)
		return err
	})
	var n int
	if err := s.one(t.Context(), &n, `SELECT count(*) FROM settings`); err != nil || n != 1 {
		t.Errorf("%d rows, %v", n, err)
	}
	if err != nil {
		t.Error(err)
	}
}

// TestPolicyChangeMeetsEnrollment: a device that enrolls while a policy change
// has looked for enrolled devices, but is not committed, waits for it. Else
// neither would see the other.
func TestPolicyChangeMeetsEnrollment(t *testing.T) {
	if pgtest.Skipped() {
		return
	}
	s := openTest(t, pgtest.Database(t, ""))
	ctx := t.Context()
	if _, _, err := s.ChangeDevice(ctx, "AAA", nil, func(*enroll.Device, string) (enroll.Device, error) {
		return enroll.Device{ID: "device", State: enroll.StatePreEnrolled}, nil
	}); err != nil {
		t.Fatal(err)
	}
	e, err := s.Authenticate(ctx, mdm.Authentication{DeviceID: "device", UDID: "u", Fingerprint: "f", At: now()})
	if err != nil {
		t.Fatal(err)
	}
	enrolled := make(chan error, 1)
	if err := s.write(ctx, func(tx *session) error {
		if err := tx.do(ctx, tx.mutex(mutexPolicies, false)); err != nil {
			return err
		}
		if err := markDue(ctx, tx, `e.device_id <> ''`); err != nil {
			return err
		}
		go func() {
			_, err := s.TokenUpdate(ctx, mdm.TokenUpdate{Enrollment: e, Fingerprint: "f", Token: []byte{1}, At: now()})
			enrolled <- err
		}()
		for waiting := 0; waiting == 0; {
			select {
			case err := <-enrolled:
				return fmt.Errorf("it did not wait: %w", err)
			default:
			}
			if err := s.one(ctx, &waiting, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
				AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := <-enrolled; err != nil {
		t.Fatal(err)
	}
	if due, err := s.ClaimDue(ctx, now(), time.Minute, 10); err != nil || len(due) != 1 {
		t.Errorf("due %v, %v", due, err)
	}
}

func TestClosed(t *testing.T) {
	onEngines(t, func(t *testing.T, dsn string) {
		s, err := Open(t.Context(), testConfig(t, dsn))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Fatal(err)
		}
		if err := s.PutSecret(t.Context(), "x", nil); enroll.KindOf(err) != enroll.KindUnavailable {
			t.Errorf("write: %v", err)
		}
		if err := s.Ping(t.Context()); enroll.KindOf(err) != enroll.KindUnavailable {
			t.Errorf("read: %v", err)
		}
	})
}

// TestServerGoesAway: while PostgreSQL is away callers are told to come back,
// in words that tell nothing; afterwards the store goes on by itself.
func TestServerGoesAway(t *testing.T) {
	if pgtest.Skipped() {
		return
	}
	if !pgtest.Shared(t).Pausable() {
		t.Log("the server is not ours to stop")
		return
	}
	c, err := pgtest.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	dsn, err := c.NewDatabase("away")
	if err != nil {
		t.Fatal(err)
	}
	s := openTest(t, dsn)
	if err := s.PutSecret(t.Context(), "x", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	c.Pause()
	for name, err := range map[string]error{
		"read":  s.Ping(t.Context()),
		"write": s.PutSecret(t.Context(), "x", []byte("lost")),
		"poll":  func() error { _, _, err := s.Poll(t.Context(), "f", ""); return err }(),
		"open":  func() error { _, err := Open(t.Context(), testConfig(t, dsn)); return err }(),
	} {
		var typed *enroll.Error
		if !errors.As(err, &typed) || typed.Kind != enroll.KindUnavailable || typed.Text != "The database does not answer." {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := c.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := s.PutSecret(t.Context(), "y", nil); err != nil {
		t.Errorf("write afterwards: %v", err)
	}
	if value, err := s.Secret(t.Context(), "x"); err != nil || string(value) != "kept" {
		t.Errorf("read afterwards: %q, %v", value, err)
	}
}

// TestSQLiteLockedByAnother: a lock that another process holds is a passing
// failure.
func TestSQLiteLockedByAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rollcall.db")
	openTest(t, "sqlite:"+path)
	other := &sqliteEngine{path: path, log: slog.New(slog.DiscardHandler)}
	db, err := other.open(time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	_, err = db.Begin()
	if !busySQLite(err) || enroll.KindOf(unavailable(err)) != enroll.KindUnavailable {
		t.Errorf("error %v", err)
	}
}

func TestCompleteDSN(t *testing.T) {
	for dsn, want := range map[string]string{
		"postgres://u:p@localhost/db":                      "sslmode=disable",
		"postgres://127.0.0.1:5433/db":                     "sslmode=disable",
		"postgres://[::1]/db":                              "sslmode=disable",
		"postgres:///db?host=/run/postgresql":              "sslmode=disable",
		"postgres://u:p@db.example.com/db":                 "sslmode=require",
		"postgres://10.0.0.7/db":                           "sslmode=require",
		"postgres://db.example.com/db?sslmode=verify-full": "sslmode=verify-full",
		"postgres:///db?host=db.example.com":               "sslmode=require",
	} {
		got, err := completeDSN(dsn)
		if err != nil || !strings.Contains(got, want) || strings.Count(got, "sslmode") != 1 {
			t.Errorf("%s became %s, %v", dsn, got, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, dsn := range []string{"", "mysql://user:hunter2@host", "sqlite:", "sqlite:/nowhere/at/all.db", "postgres://user:hunter2@host:port/db", "host=x password=hunter2"} {
		s, err := Open(t.Context(), testConfig(t, dsn))
		if err == nil {
			s.Close()
			t.Errorf("%q was opened", dsn)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error tells the password: %v", err)
		}
	}
	if _, err := Open(t.Context(), Config{DSN: "sqlite::memory:"}); err == nil {
		t.Error("opened without a sealer")
	}
}

// TestMemory: a database that is nobody's leaves nothing behind.
func TestMemory(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s, err := Open(t.Context(), testConfig(t, "sqlite::memory:"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.PutSecret(t.Context(), "x", nil); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestVersionAtLeast(t *testing.T) {
	for _, c := range []struct {
		have, want string
		ok         bool
	}{{"3.53.4", "3.53.2", true}, {"3.53.2", "3.53.2", true}, {"3.53.1", "3.53.2", false}, {"3.9.9", "3.53.2", false}, {"4.0.0", "3.53.2", true}, {"x", "3.53.2", false}} {
		if versionAtLeast(c.have, c.want) != c.ok {
			t.Errorf("versionAtLeast(%s, %s) is %v", c.have, c.want, !c.ok)
		}
	}
}
