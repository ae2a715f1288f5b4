package storage

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"

	"rollcall/enroll"
	"rollcall/storage/pgtest"
)

// rowsOfFirst is data as the first version of the schema holds it.
var rowsOfFirst = []string{
	`INSERT INTO users (id, domain, name, email, mobile, language, created_at, updated_at) VALUES ('u', 'local', 'Ann', 'ann@example.com', '', '', 1, 1)`,
	`INSERT INTO devices (id, serial, serial_raw, platform, ownership, name, name_key, user_id, state, facts, sources, asset_tag, tags, notes, not_before,
		expires_at, max_uses, uses, blocked_at, block_reason, enrollment_id, accepted_at, enrolled_at, last_seen_at, created_at, updated_at, version,
		effective, source, domain, email, user_key, model, product, imei, asset_key)
		VALUES ('d', 'AAA', 'AAA', 'ios', 'corporate', 'Phone', 'phone', 'u', 'pre_enrolled', '{}', '{}', 'A1', 'null', '', 0, 0, 0, 0, 0, '', '', 0, 0, 0, 1, 1, 1,
		'pre_enrolled', 'csv', 'local', 'ann@example.com', 'ann', '', '', '', 'a1')`,
	`INSERT INTO device_seen (device_id, serial, at) VALUES ('d', 'AAA', 0)`,
	`INSERT INTO device_groups (id, name, created_at, updated_at) VALUES ('g', 'Sales', 1, 1)`,
	`INSERT INTO memberships (group_id, device_id, serial) VALUES ('g', 'd', 'AAA')`,
}

// TestMigrateFromFirst: a database of the first version that holds data opens,
// and what it held is there.
func TestMigrateFromFirst(t *testing.T) {
	prepare := func(t *testing.T, p *goose.Provider, db *sqlx.DB) {
		t.Helper()
		if _, err := p.UpTo(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		for _, row := range rowsOfFirst {
			if _, err := db.ExecContext(t.Context(), row); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	onBare(t, func(t *testing.T, dsn string, db *sqlx.DB, dialect goose.Dialect, folder string) {
		p, err := provider(dialect, folder, db, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		prepare(t, p, db)
		s := openTest(t, dsn)
		d, err := s.Device(t.Context(), "AAA")
		if err != nil || d.Name != "Phone" || d.State != enroll.StatePreEnrolled || d.UserID != "u" {
			t.Errorf("device %+v, %v", d, err)
		}
		if groups, err := s.GroupsOf(t.Context(), "d"); err != nil || len(groups) != 1 || groups[0].Name != "Sales" {
			t.Errorf("groups %v, %v", groups, err)
		}
		if u, err := s.User(t.Context(), "u"); err != nil || u.Email != "ann@example.com" {
			t.Errorf("user %+v, %v", u, err)
		}
		if listed, err := s.Devices(t.Context(), enroll.DeviceFilter{GroupID: "g"}, enroll.Page{Limit: 10}); err != nil || len(listed) != 1 {
			t.Errorf("list %v, %v", listed, err)
		}
	})
}

// TestMigrationNumbersMayHaveGaps: numbers are given out before the work is
// done, and some come to nothing.
func TestMigrationNumbersMayHaveGaps(t *testing.T) {
	files := fstest.MapFS{
		"0001_a.sql": {Data: []byte("-- +goose Up\nCREATE TABLE a (x BIGINT);\n")},
		"0007_b.sql": {Data: []byte("-- +goose Up\nALTER TABLE a ADD COLUMN y BIGINT;\n")},
	}
	onBare(t, func(t *testing.T, _ string, db *sqlx.DB, dialect goose.Dialect, _ string) {
		defer db.Close()
		up := func(want int) {
			t.Helper()
			p, err := goose.NewProvider(dialect, db.DB, files, goose.WithDisableGlobalRegistry(true))
			if err != nil {
				t.Fatal(err)
			}
			if done, err := p.Up(context.Background()); err != nil || len(done) != want {
				t.Fatalf("%d migrations, %v", len(done), err)
			}
		}
		up(2)
		up(0)
		files["0010_c.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nINSERT INTO a (x, y) VALUES (1, 2);\n")}
		up(1)
		delete(files, "0010_c.sql")
	})
}

// onBare runs a test with an empty database of each engine that nobody has
// migrated.
func onBare(t *testing.T, test func(t *testing.T, dsn string, db *sqlx.DB, dialect goose.Dialect, folder string)) {
	t.Run("sqlite", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "rollcall.db")
		e := &sqliteEngine{path: path, log: slog.New(slog.DiscardHandler)}
		db, err := e.open(busyTimeout)
		if err != nil {
			t.Fatal(err)
		}
		test(t, "sqlite:"+path, db, goose.DialectSQLite3, "sqlite")
	})
	if pgtest.Skipped() {
		return
	}
	t.Run("postgres", func(t *testing.T) {
		dsn := pgtest.Database(t, "")
		db, err := sqlx.Open("postgres", dsn)
		if err != nil {
			t.Fatal(err)
		}
		test(t, dsn, db, goose.DialectPostgres, "postgres")
	})
}
