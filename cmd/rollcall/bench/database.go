package bench

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"rollcall/storage/pgtest"
)

// engine makes databases of one kind.
type engine struct {
	name    string          // "postgres" or "sqlite"
	cluster *pgtest.Cluster // of PostgreSQL
	dir     string          // of SQLite files
}

// startEngine starts a cluster, or does nothing for SQLite.
func startEngine(name, dir string) (*engine, error) {
	e := &engine{name: name, dir: dir}
	if name == postgres {
		var err error
		if e.cluster, err = pgtest.Start(); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func (e *engine) stop() {
	if e.cluster != nil {
		e.cluster.Stop()
	}
}

// The engines' names.
const (
	postgres = "postgres"
	sqlite   = "sqlite"
)

// database is one database and the SQL by which the engines differ. It goes
// round the storage room, since no store has a reason to offer history in bulk.
type database struct {
	engine     string
	dsn        string // as the server takes it
	sql        *sql.DB
	postmaster int // process ID, 0 where it is not on this machine
}

// create makes an empty database.
func (e *engine) create(name string) (*database, error) {
	d := &database{engine: e.name}
	var err error
	if e.name == sqlite {
		path := filepath.Join(e.dir, name+".db")
		d.dsn = "sqlite:" + path
		q := url.Values{"_pragma": {"busy_timeout(60000)", "journal_mode(WAL)", "synchronous(OFF)"}}
		d.sql, err = sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
		return d, err
	}
	if d.dsn, err = e.cluster.NewDatabase(name); err != nil {
		return nil, err
	}
	if d.sql, err = sql.Open("postgres", d.dsn); err != nil {
		return nil, err
	}
	d.sql.SetMaxOpenConns(2)
	return d, nil
}

// drop closes the database, and removes it where it is in a cluster.
func (d *database) drop(e *engine, name string) {
	d.sql.Close()
	if e.cluster != nil {
		e.cluster.Drop(name) // the cluster goes as well, in the end
	}
}

// look finds out what can be known only when the database is there.
func (d *database) look(ctx context.Context) (version string, err error) {
	if d.engine == sqlite {
		err = d.sql.QueryRowContext(ctx, `SELECT sqlite_version()`).Scan(&version)
		return "SQLite " + version, err
	}
	var backend int
	if err := d.sql.QueryRowContext(ctx, `SELECT current_setting('server_version'), pg_backend_pid()`).Scan(&version, &backend); err != nil {
		return "", err
	}
	if p := parent(backend); p > 1 {
		d.postmaster = p
	}
	var settings []string
	for _, name := range []string{"fsync", "synchronous_commit", "full_page_writes", "shared_buffers"} {
		var value string
		if err := d.sql.QueryRowContext(ctx, `SELECT current_setting($1)`, name).Scan(&value); err != nil {
			return "", err
		}
		settings = append(settings, name+" "+value)
	}
	return "PostgreSQL " + version + " (" + strings.Join(settings, ", ") + ")", nil
}

func (d *database) exec(ctx context.Context, query string) error {
	if _, err := d.sql.ExecContext(ctx, query); err != nil {
		return fmt.Errorf("bench: %w in %s", err, query)
	}
	return nil
}

func (d *database) count(ctx context.Context, query string) (n int, err error) {
	if err = d.sql.QueryRowContext(ctx, query).Scan(&n); err != nil {
		err = fmt.Errorf("bench: %w in %s", err, query)
	}
	return n, err
}

// numbers is a table n with the column i, from 1.
func (d *database) numbers(n int) string {
	if d.engine == sqlite {
		return fmt.Sprintf("(WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < %d) SELECT i FROM c) AS n", n)
	}
	return fmt.Sprintf("(SELECT CAST(g AS bigint) AS i FROM generate_series(1, %d) AS g) AS n", n)
}

// hex writes a number in lower-case hexadecimal digits.
func (d *database) hex(width int, number string) string {
	if d.engine == sqlite {
		return fmt.Sprintf("printf('%%0%dx', %s)", width, number)
	}
	return fmt.Sprintf("lpad(to_hex(%s), %d, '0')", number, width)
}

// blob makes bytes of hexadecimal digits.
func (d *database) blob(digits string) string {
	if d.engine == sqlite {
		return "unhex(" + digits + ")"
	}
	return "decode(" + digits + ", 'hex')"
}

// settle does the upkeep that would else run in the middle of a measurement.
// PostgreSQL's autovacuum brings its statistics in time; SQLite keeps none.
func (d *database) settle(ctx context.Context, table string) error {
	if d.engine == sqlite {
		var busy, log, moved int
		return d.sql.QueryRowContext(ctx, `PRAGMA wal_checkpoint(PASSIVE)`).Scan(&busy, &log, &moved)
	}
	if err := d.exec(ctx, "VACUUM ANALYZE "+table); err != nil {
		return err
	}
	return d.exec(ctx, "CHECKPOINT")
}

// history gives each current enrollment so many finished commands. Their
// numbers in the queue are negative, before those that were really queued.
func (d *database) history(ctx context.Context, each int) error {
	if err := d.exec(ctx, `INSERT INTO commands (enrollment_id, seq, id, request_type, body, state, deferred, not_now, attempts, error, result, queued_at, sent_at, handed_at, finished_at)
		SELECT e.id, n.i - 1000000000, substr(e.id, 1, 24) || `+d.hex(6, "n.i")+` || substr(e.id, 31), 'ProfileList', `+d.blob("'"+strings.Repeat("5a", 64)+"'")+`, 'acknowledged', FALSE, FALSE, 1, '', NULL,
			1700000000000000 + n.i, 1700000000000001 + n.i, 0, 1700000000000002 + n.i
		FROM (SELECT id FROM enrollments WHERE ended_at = 0 ORDER BY id) AS e CROSS JOIN `+d.numbers(each)); err != nil {
		return err
	}
	return d.settle(ctx, "commands")
}

// roll fills an empty roll with devices whose serials rollSerial gives.
func (d *database) roll(ctx context.Context, n int) error {
	if err := d.exec(ctx, `INSERT INTO devices (id, serial, serial_raw, platform, ownership, name, name_key, user_id, state, facts, sources,
			blocked_at, block_reason, enrollment_id, accepted_at, enrolled_at, last_seen_at, created_at, updated_at, version)
		SELECT s.id, s.serial, s.serial, 'ios', 'corporate', '', '', '', 'pre_enrolled', '{}',
			'{"ownership":"csv","platform":"csv","serial":"csv"}', 0, '', '', 0, 0, 0, 1700000000000000, 1700000000000000, 1
		FROM (SELECT '01900000-0000-7000-8000-' || `+d.hex(12, "n.i")+` AS id, upper(`+d.hex(8, fmt.Sprintf("(n.i * %d) %% 4294967296", scatter))+`) AS serial
			FROM `+d.numbers(n)+`) AS s`); err != nil {
		return err
	}
	return d.settle(ctx, "devices")
}

// scatter spreads serials over the index; being odd, it maps 32-bit numbers
// one to one.
const scatter = 2654435761

func rollSerial(i int) string { return fmt.Sprintf("%08X", uint32(uint64(i)*scatter)) }

// pushes makes enrollments that can be woken and nothing else. Their outbox
// rows are not due yet.
func (d *database) pushes(ctx context.Context, n int, topic string) error {
	id := `'bench-' || ` + d.hex(8, "n.i")
	if err := d.exec(ctx, `INSERT INTO enrollments (id, device_id, parent_id, udid, user_id, state, fingerprint, next_fingerprint, topic, token, push_magic, awaiting,
			unlock_token, bootstrap_token, decision_id, request_id, command_seq, authenticated_at, enrolled_at, last_seen_at, push_inactive_at, ended_at)
		SELECT `+id+`, `+id+`, '', `+id+`, '', 'active', `+id+`, '', '`+topic+`', `+d.blob(d.hex(64, "n.i"))+`, `+id+`, FALSE,
			NULL, NULL, '', '', 0, 1, 1, 0, 0, 0 FROM `+d.numbers(n)); err != nil {
		return err
	}
	if err := d.exec(ctx, `INSERT INTO pushes (enrollment_id, generation, due_at, lease_until, attempts, pushed_at, reason)
		SELECT `+id+`, 1, 0, 0, 0, 0, '' FROM `+d.numbers(n)); err != nil {
		return err
	}
	return d.settle(ctx, "pushes")
}

// duePushes makes all of them due at once.
func (d *database) duePushes(ctx context.Context) error {
	return d.exec(ctx, `UPDATE pushes SET generation = generation + 1, due_at = 1 WHERE enrollment_id LIKE 'bench-%'`)
}
