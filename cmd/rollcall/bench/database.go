package bench

import (
	"context"
	"database/sql"
	"errors"
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
		q := url.Values{"_pragma": {"busy_timeout(60000)", "journal_mode(WAL)", "synchronous(OFF)", "cache_size(-400000)"}}
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

// multiply copies rows of a table n times with some columns replaced by
// expressions of n.i (from 1) and t, the row that is copied. It takes the
// columns from the catalogue, so that it goes on working when there are more.
func (d *database) multiply(ctx context.Context, table, where string, n int, replaced map[string]string) error {
	found, err := d.sql.QueryContext(ctx, "SELECT * FROM "+table+" LIMIT 0")
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	names, err := found.Columns()
	if err = errors.Join(err, found.Err(), found.Close()); err != nil {
		return err
	}
	values := make([]string, len(names))
	for i, name := range names {
		if values[i] = "t." + name; replaced[name] != "" {
			values[i] = replaced[name]
		}
	}
	err = d.exec(ctx, "INSERT INTO "+table+" ("+strings.Join(names, ", ")+") SELECT "+strings.Join(values, ", ")+
		" FROM (SELECT * FROM "+table+" WHERE "+where+") AS t CROSS JOIN "+d.numbers(n))
	if err != nil {
		return err
	}
	return d.settle(ctx, table)
}

// dropIndexes takes the indexes of a table away but for its primary key's;
// restore makes them again.
func (d *database) dropIndexes(ctx context.Context, table string) (restore func() error, err error) {
	query := "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = '" + table + "'"
	if d.engine == postgres {
		query = "SELECT c.relname, pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE NOT i.indisprimary AND i.indrelid = '" + table + "'::regclass"
	}
	found, err := d.sql.QueryContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("bench: %w in %s", err, query)
	}
	defer found.Close()
	var names, definitions []string
	for found.Next() {
		var name, definition string
		if err := found.Scan(&name, &definition); err != nil {
			return nil, err
		}
		names, definitions = append(names, name), append(definitions, definition)
	}
	if err := errors.Join(found.Err(), found.Close()); err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := d.exec(ctx, "DROP INDEX "+name); err != nil {
			return nil, err
		}
	}
	return func() error {
		for _, definition := range definitions {
			if err := d.exec(ctx, definition); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// history gives each enrollment of the devices with such UDIDs so many more
// finished commands. Their numbers in the queue are negative, before those that
// were really queued.
func (d *database) history(ctx context.Context, udidPrefix string, each int) error {
	of := "seq = 1 AND finished_at > 0 AND enrollment_id IN (SELECT id FROM enrollments WHERE udid LIKE '" + udidPrefix + "%')"
	return d.multiply(ctx, "commands", of, each, map[string]string{
		"seq": "n.i - 1000000000", "id": "t.enrollment_id || '-' || " + d.hex(8, "n.i"),
		"body": d.blob("'" + strings.Repeat("5a", 64) + "'"), "result": "NULL",
	})
}

// The full roll is made of one device and its owner.
const (
	rollTemplate = "TEMPLATE"
	rollOwner    = "template@example.com"
	rollGroup    = "bench" // a tenth of the devices are members
	rollTag      = "bench" // a twentieth have it
	rollOwners   = 10_000
	// rollPlain: every so many rows there is one that is like the template,
	// which the gate lets in. The others differ in all that lists look at.
	rollPlain = 10
)

// roll makes of the template so many devices, whose serials rollSerial gives.
func (d *database) roll(ctx context.Context, n int) error {
	owner := func(number string) string { return "'owner-' || " + d.hex(8, number) }
	email := func(number string) string {
		return fmt.Sprintf("'owner-' || %s || '@example.com'", d.hex(8, number))
	}
	if err := d.multiply(ctx, "users", "email = '"+rollOwner+"'", rollOwners, map[string]string{
		"id": owner("n.i"), "email": email("n.i"), "name": "'Owner ' || " + d.hex(8, "n.i"),
	}); err != nil {
		return err
	}
	// What is listed by does not follow from the place in the roll: each trait
	// goes round in its own step.
	varied := func(value string) string {
		return fmt.Sprintf("CASE WHEN n.i %% %d = 0 THEN '' ELSE %s END", rollPlain, value)
	}
	of := func(step int, values ...string) string {
		var b strings.Builder
		fmt.Fprintf(&b, "CASE n.i / %d %% %d", step, len(values))
		for i, v := range values {
			fmt.Fprintf(&b, " WHEN %d THEN '%s'", i, v)
		}
		return b.String() + " END"
	}
	or := func(column, value string) string {
		return fmt.Sprintf("CASE WHEN n.i %% %d = 0 THEN t.%s ELSE %s END", rollPlain, column, value)
	}
	serial := "upper(" + d.hex(8, fmt.Sprintf("(n.i * %d) %% 4294967296", scatter)) + ")"
	scattered := func(modulus int) string { return fmt.Sprintf("(n.i * %d) %% %d", scatter, modulus) }
	state := of(270, "pre_enrolled", "invited", "enrolled", "enrolled", "unenrolled")
	source := of(90, "csv", "api", "dep")
	accepted := fmt.Sprintf("n.i %% %d <> 0 AND n.i / 270 %% 5 >= 2", rollPlain)
	told := func(value string) string { return "CASE WHEN " + accepted + " THEN " + value + " ELSE '' END" }
	model, imei := fmt.Sprintf("n.i / 1350 %% %d", 20), "'49' || "+d.hex(13, "n.i")
	when := "CASE WHEN " + accepted + " THEN t.created_at + " + scattered(1_000_000) + " * 1000000 ELSE 0 END"
	user := "n.i * 7 % " + fmt.Sprint(rollOwners) + " + 1"
	// A row at a time, the indexes take longer than the rows.
	restore, err := d.dropIndexes(ctx, "devices")
	if err != nil {
		return err
	}
	if err := d.multiply(ctx, "devices", "serial = '"+rollTemplate+"'", n, map[string]string{
		"id": rollID(d, "n.i"), "serial": serial, "serial_raw": serial,
		"platform": or("platform", of(10, "android", "ios", "apple")), "ownership": or("ownership", of(30, "personal", "corporate", "selectuser")),
		"state": or("state", state), "effective": or("effective", state), "source": or("source", source), "sources": or("sources", "'{\"serial\":\"' || "+source+" || '\"}'"),
		"name": varied("'Device ' || " + d.hex(6, scattered(1_000_000))), "name_key": varied("'device ' || " + d.hex(6, scattered(1_000_000))),
		"user_id": owner(user), "email": email(user), "user_key": "'owner ' || " + d.hex(8, user),
		"facts": fmt.Sprintf(`CASE WHEN %s THEN '{"imei":"' || %s || '","model":"iPhone ' || %s || '"}' ELSE t.facts END`, accepted, imei, "("+model+")"),
		"model": told("'iphone ' || (" + model + ")"), "imei": told(imei), "asset_tag": "'INV-' || " + d.hex(8, "n.i"), "asset_key": "'inv-' || " + d.hex(8, "n.i"),
		"tags":        fmt.Sprintf(`CASE WHEN n.i %% 20 = 7 THEN '["%s"]' ELSE t.tags END`, rollTag),
		"accepted_at": when, "enrolled_at": when, "last_seen_at": when, "updated_at": "t.updated_at + n.i * 1000000",
	}); err != nil {
		return err
	}
	if err := errors.Join(restore(), d.settle(ctx, "devices")); err != nil {
		return err
	}
	for _, table := range []struct{ name, columns, rows string }{
		{"device_seen", "device_id, serial, at, effective, platform, ownership, source", "SELECT id, serial, last_seen_at, effective, platform, ownership, source FROM devices WHERE serial <> '" + rollTemplate + "'"},
		{"memberships", "group_id, device_id, serial", fmt.Sprintf("SELECT '%s', %s, %s FROM %s WHERE n.i %% 10 = 3", rollGroup, rollID(d, "n.i"), serial, d.numbers(n))},
		{"device_tags", "tag, device_id, serial", fmt.Sprintf("SELECT '%s', %s, %s FROM %s WHERE n.i %% 20 = 7", rollTag, rollID(d, "n.i"), serial, d.numbers(n))},
	} {
		if err := errors.Join(d.exec(ctx, "INSERT INTO "+table.name+" ("+table.columns+") "+table.rows), d.settle(ctx, table.name)); err != nil {
			return err
		}
	}
	return nil
}

// rollID is the ID of a device of the full roll.
func rollID(d *database, number string) string {
	return "'01900000-0000-7000-8000-' || " + d.hex(12, number)
}

// scatter spreads serials over the index; being odd, it maps 32-bit numbers
// one to one.
const scatter = 2654435761

func rollSerial(i int) string { return fmt.Sprintf("%08X", uint32(uint64(i)*scatter)) }

// pushes makes of the current enrollment with a push token so many that can be
// woken and nothing else. Their outbox rows are not due yet.
func (d *database) pushes(ctx context.Context, n int, token []byte) error {
	var of string
	if err := d.sql.QueryRowContext(ctx, "SELECT id FROM enrollments WHERE ended_at = 0 AND token = "+d.blob(fmt.Sprintf("'%x'", token))).Scan(&of); err != nil {
		return fmt.Errorf("bench: the enrollment to copy: %w", err)
	}
	id := "'bench-' || " + d.hex(8, "n.i")
	if err := d.multiply(ctx, "enrollments", "id = '"+of+"'", n, map[string]string{
		"id": id, "device_id": id, "udid": id, "fingerprint": id, "push_magic": id, "token": d.blob(d.hex(64, "n.i")), "unlock_token": "NULL",
	}); err != nil {
		return err
	}
	return d.multiply(ctx, "pushes", "enrollment_id = '"+of+"' AND due_at = 0", n, map[string]string{"enrollment_id": id})
}

// duePushes makes all of them due at once.
func (d *database) duePushes(ctx context.Context) error {
	return d.exec(ctx, `UPDATE pushes SET generation = generation + 1, due_at = 1 WHERE enrollment_id LIKE 'bench-%'`)
}
