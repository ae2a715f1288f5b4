package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// minSQLite is the first version without the corruption of a WAL that is reset
// while being checkpointed, and with the fixes of its branch.
const minSQLite = "3.53.2"

// A group of writes ends when nobody waits, or at these bounds.
const (
	groupSize = 64
	groupTime = 25 * time.Millisecond
)

const busyTimeout = 5 * time.Second

// sqliteEngine has a pool of readers and one connection that writes.
type sqliteEngine struct {
	path    string
	scratch string // directory to remove at close; empty: none
	readers *sqlx.DB
	writers *sqlx.DB
	conn    *sqlx.Conn // the one of writers
	reading cache
	writing map[string]*sqlx.Stmt // of conn; used by the writer goroutine only
	log     *slog.Logger

	jobs chan *job
	quit chan struct{}
	once sync.Once
	idle sync.WaitGroup
}

// job is a closure on its way through the writer.
type job struct {
	ctx      context.Context
	fn       func(tx *session) error
	err      error
	panicked any
	done     chan struct{}
}

func openSQLite(ctx context.Context, path string, maxConns int, log *slog.Logger) (_ engine, err error) {
	e := &sqliteEngine{path: path, log: log, jobs: make(chan *job, groupSize), quit: make(chan struct{}), writing: map[string]*sqlx.Stmt{}}
	defer func() {
		if err != nil {
			e.close()
		}
	}()
	if path == ":memory:" {
		if e.scratch, err = os.MkdirTemp("", "rollcall-"); err != nil {
			return nil, err
		}
		e.path = filepath.Join(e.scratch, "rollcall.db")
	}
	if e.path == "" {
		return nil, errors.New("the path of the SQLite database is empty")
	}
	// Only a new file is opened here: closing a second handle of an open
	// database would drop the locks this process holds on it.
	if f, err := os.OpenFile(e.path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600); err == nil {
		f.Close()
	} else if !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := e.migrate(ctx); err != nil {
		return nil, err
	}
	if e.readers, err = e.open(busyTimeout, "query_only(1)"); err != nil {
		return nil, err
	}
	if maxConns == 0 {
		maxConns = 4
	}
	e.readers.SetMaxOpenConns(maxConns)
	e.readers.SetMaxIdleConns(maxConns)
	if e.writers, err = e.open(busyTimeout); err != nil {
		return nil, err
	}
	e.writers.SetMaxOpenConns(1)
	if e.conn, err = e.writers.Connx(ctx); err != nil {
		return nil, err
	}
	e.reading.prepare = func(ctx context.Context, query string) (*sqlx.Stmt, error) {
		return e.readers.PreparexContext(ctx, query)
	}
	e.idle.Go(e.run)
	return e, nil
}

// open makes a pool whose connections all have the pragmas, which belong to a
// connection and not to the file. A lock that another process holds is waited
// for as long as busy.
func (e *sqliteEngine) open(busy time.Duration, extra ...string) (*sqlx.DB, error) {
	q := url.Values{"_txlock": {"immediate"}, "_pragma": append(extra, fmt.Sprintf("busy_timeout(%d)", busy.Milliseconds()), "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)",
		"trusted_schema(0)", "cache_size(-16000)", "journal_size_limit(67108864)")}
	path := (&url.URL{Path: e.path}).EscapedPath()
	db, err := sqlx.Open("sqlite", "file:"+path+"?"+q.Encode())
	if err != nil {
		return nil, err
	}
	db.Mapper = mapper
	// While another process turns the file to WAL, SQLite says busy without
	// waiting.
	var version string
	err = again(context.Background(), e.log, busySQLite, func() error { return db.Get(&version, `SELECT sqlite_version()`) })
	if err == nil && !versionAtLeast(version, minSQLite) {
		err = fmt.Errorf("SQLite %s is too old: %s or later is needed", version, minSQLite)
	}
	if err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

func versionAtLeast(have, want string) bool {
	var h, w [3]int
	if _, err := fmt.Sscanf(have, "%d.%d.%d", &h[0], &h[1], &h[2]); err != nil {
		return false
	}
	fmt.Sscanf(want, "%d.%d.%d", &w[0], &w[1], &w[2])
	for i := range h {
		if h[i] != w[i] {
			return h[i] > w[i]
		}
	}
	return true
}

func (e *sqliteEngine) name() string { return "sqlite" }

func (e *sqliteEngine) close() error {
	var errs []error
	e.once.Do(func() {
		close(e.quit)
		e.idle.Wait()
		e.reading.close()
		for _, st := range e.writing {
			st.Close()
		}
		if e.conn != nil {
			errs = append(errs, e.conn.Close())
		}
		for _, db := range []*sqlx.DB{e.readers, e.writers} {
			if db != nil {
				errs = append(errs, db.Close())
			}
		}
		if e.scratch != "" {
			errs = append(errs, os.RemoveAll(e.scratch))
		}
	})
	return errors.Join(errs...)
}

func (e *sqliteEngine) pool() *session { return &session{engine: e, stmt: e.reading.get} }

func (e *sqliteEngine) snapshot(ctx context.Context, fn func(*session) error) error {
	return inTransaction(ctx, e, e.readers, &e.reading, true, fn)
}

// transact hands fn to the writer. Its statements do not end with ctx once it
// runs: SQLite answers an interrupted statement by rolling back everything,
// which would take the rest of the group with it.
func (e *sqliteEngine) transact(ctx context.Context, fn func(*session) error) error {
	return again(ctx, e.log, busySQLite, func() error {
		j := &job{ctx: ctx, fn: fn, done: make(chan struct{})}
		select {
		case <-e.quit:
			return errClosed
		case <-ctx.Done():
			return ctx.Err()
		case e.jobs <- j:
		}
		select {
		case <-j.done:
		case <-e.quit:
			e.idle.Wait()
			select {
			case <-j.done:
			default: // it came after the writer's last look
				return errClosed
			}
		}
		if j.panicked != nil {
			panic(j.panicked)
		}
		return j.err
	})
}

func (e *sqliteEngine) run() {
	for {
		select {
		case j := <-e.jobs:
			e.group(j)
		case <-e.quit:
			for {
				select {
				case j := <-e.jobs:
					e.group(j)
				default:
					return
				}
			}
		}
	}
}

// group runs first and whoever waits behind it in one transaction, so that
// they share one wait for the disk.
func (e *sqliteEngine) group(first *job) {
	group := []*job{first}
	whole := e.run1(`BEGIN IMMEDIATE`)
	if whole == nil {
		whole = e.savepoint(first)
		start := time.Now()
	more:
		for whole == nil && len(group) < groupSize && time.Since(start) < groupTime {
			select {
			case j := <-e.jobs:
				group = append(group, j)
				whole = e.savepoint(j)
			default:
				break more
			}
		}
		if whole == nil {
			whole = e.run1(`COMMIT`)
		}
		if whole != nil {
			e.run1(`ROLLBACK`) // fails where SQLite has rolled back by itself
		}
	}
	for _, j := range group {
		if whole != nil && j.err == nil && j.panicked == nil {
			j.err = whole
		}
		close(j.done)
	}
}

// savepoint runs one closure so that its failure undoes nothing but itself.
// The error is that of the whole transaction.
func (e *sqliteEngine) savepoint(j *job) error {
	if j.err = j.ctx.Err(); j.err != nil {
		return nil
	}
	if err := e.run1(`SAVEPOINT one`); err != nil {
		return err
	}
	j.err = e.call(j)
	if j.err == nil && j.panicked == nil {
		return e.run1(`RELEASE one`)
	}
	if err := e.run1(`ROLLBACK TO one`); err != nil {
		return fmt.Errorf("%w (after: %v)", errAgain, err)
	}
	return e.run1(`RELEASE one`)
}

func (e *sqliteEngine) call(j *job) (err error) {
	defer func() { j.panicked = recover() }()
	return j.fn(&session{engine: e, detached: true, stmt: func(_ context.Context, query string) (*sqlx.Stmt, error) { return e.prepared(query) }})
}

func (e *sqliteEngine) prepared(query string) (*sqlx.Stmt, error) {
	if st, ok := e.writing[query]; ok {
		return st, nil
	}
	st, err := e.conn.PreparexContext(context.Background(), query)
	if err == nil {
		st.Mapper = mapper // sqlx does not hand it on from a Conn
		e.writing[query] = st
	}
	return st, err
}

func (e *sqliteEngine) run1(command string) error {
	st, err := e.prepared(command)
	if err == nil {
		_, err = st.Exec()
	}
	return err
}

func (e *sqliteEngine) lock() string       { return "" }
func (e *sqliteEngine) skipLocked() string { return "" }
func (e *sqliteEngine) in(column string) string {
	return column + " IN (SELECT value FROM json_each(?))"
}
func (e *sqliteEngine) list(values []string) any { return encodeList(values) }

func encodeList(values []string) string {
	if values == nil {
		return "[]"
	}
	b, _ := json.Marshal(values) // a list of strings always has a form
	return string(b)
}

func (e *sqliteEngine) records(fields string) string {
	var cols []string
	for _, n := range columnNames(fields) {
		cols = append(cols, fmt.Sprintf("value ->> '%s' AS %s", n, n))
	}
	return "(SELECT " + strings.Join(cols, ", ") + " FROM json_each(?)) AS r"
}

func (e *sqliteEngine) mutex(mutex, bool) string { return "" } // there is one writer
func (e *sqliteEngine) bulk() string             { return "" }
func (e *sqliteEngine) lazy() string             { return "" } // a group shares its wait for the disk

// busySQLite says that another process holds the lock.
func busySQLite(err error) bool {
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return false
	}
	code := se.Code() & 0xff
	return code == sqlite3.SQLITE_BUSY || code == sqlite3.SQLITE_LOCKED
}
