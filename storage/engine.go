package storage

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/jmoiron/sqlx/reflectx"

	"rollcall/enroll"
)

// engine is a database and the SQL in which it differs from the other one.
// Queries are written with "?" for parameters.
type engine interface {
	name() string
	pool() *session // for single statements that read
	transact(ctx context.Context, fn func(tx *session) error) error
	snapshot(ctx context.Context, fn func(tx *session) error) error
	migrate(ctx context.Context) error
	close() error

	// lock ends a SELECT whose rows are to stay as they are until the end of
	// the transaction; skipLocked leaves out rows that another one has locked.
	lock() string
	skipLocked() string
	// in says that column is one of a list, which list makes the argument of.
	in(column string) string
	list(values []string) any
	// records makes the rows of a JSON array, given as one argument, a table
	// named r. fields are "name type" pairs with the types text, bigint and
	// boolean.
	records(fields string) string
	// The following are commands for session.do, empty where the engine needs
	// none. mutex lets one transaction at a time pass until its end; shared
	// lets all pass that are shared too. bulk prepares a transaction for making
	// tables grow by much. lazy makes its commit not wait for the disk.
	mutex(m mutex, shared bool) string
	bulk() string
	lazy() string
}

// mutex names what no row stands for.
type mutex int64

const (
	// mutexPolicies orders changes that touch many devices (policies, bindings,
	// groups) with those by which one device comes into their reach. Without
	// it, each of the two would not see the other, and the device would miss a
	// change.
	mutexPolicies mutex = 7303001 + iota
	// mutexImports keeps two imports from locking rows crosswise.
	mutexImports
	// mutexTokens keeps the last admin token.
	mutexTokens
	mutexMigrations
)

// session runs statements on a pool or in a transaction.
type session struct {
	engine
	detached bool     // statements do not end with their context
	journal  *journal // what a transaction notes; nil outside of Store.write
	stmt     func(ctx context.Context, query string) (*sqlx.Stmt, error)
}

// get reads one row; sql.ErrNoRows when there is none.
func (q *session) get(ctx context.Context, dest any, query string, args ...any) error {
	ctx = q.context(ctx)
	st, err := q.stmt(ctx, query)
	if err != nil {
		return err
	}
	return st.GetContext(ctx, dest, tidy(args)...)
}

// all reads rows.
func (q *session) all(ctx context.Context, dest any, query string, args ...any) error {
	ctx = q.context(ctx)
	st, err := q.stmt(ctx, query)
	if err != nil {
		return err
	}
	return st.SelectContext(ctx, dest, tidy(args)...)
}

// exec changes rows and says how many.
func (q *session) exec(ctx context.Context, query string, args ...any) (int64, error) {
	ctx = q.context(ctx)
	st, err := q.stmt(ctx, query)
	if err != nil {
		return 0, err
	}
	res, err := st.ExecContext(ctx, tidy(args)...)
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	q.journal.count(query, n)
	return n, err
}

func (q *session) context(ctx context.Context) context.Context {
	if q.detached {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

// do runs a command of the engine.
func (q *session) do(ctx context.Context, command string) error {
	if command == "" {
		return nil
	}
	_, err := q.exec(ctx, command)
	return err
}

// tidy cleans text among arguments, which are plain strings or named ones.
func tidy(args []any) []any {
	for i, a := range args {
		if s, ok := a.(string); ok {
			args[i] = clean(s)
		}
	}
	return args
}

// columnNames gives the names out of "name type" pairs.
func columnNames(fields string) []string {
	var names []string
	for f := range strings.SplitSeq(fields, ",") {
		names = append(names, strings.Fields(f)[0])
	}
	return names
}

// columns joins names with a prefix ("r."), for a SELECT or INSERT.
func columns(prefix string, names []string) string {
	return prefix + strings.Join(names, ", "+prefix)
}

// mapper finds columns by the json tag, so that a row struct serves to scan
// and, as JSON, to write many rows at once.
var mapper = reflectx.NewMapperFunc("json", strings.ToLower)

// errAgain is returned by a closure that lost a race for a key: the next run
// finds the winner's row.
var errAgain = errors.New("storage: lost a race for a key")

// A transaction is given up after so many runs, or when it has waited so long.
const (
	maxAttempts = 10
	maxWait     = 10 * time.Second
)

// again runs a transaction until it does not fail for a passing reason.
func again(ctx context.Context, log *slog.Logger, passing func(error) bool, fn func() error) error {
	pause, start := 2*time.Millisecond, time.Now()
	for attempt := 1; ; attempt++ {
		err := fn()
		if err == nil || attempt == maxAttempts || time.Since(start) > maxWait || !(errors.Is(err, errAgain) || passing(err)) {
			return err
		}
		log.DebugContext(ctx, "transaction runs again", "attempt", attempt, "error", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause/2 + rand.N(pause)):
		}
		pause = min(2*pause, 200*time.Millisecond)
	}
}

// lost says that the connection is gone or none can be had.
func lost(err error) bool {
	var network net.Error
	if err == nil {
		return false
	}
	return errors.Is(err, driver.ErrBadConn) || err.Error() == "sql: database is closed" || // which has no exported value
		errors.Is(err, sql.ErrConnDone) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errClosed) || errors.Is(err, net.ErrClosed) ||
		errors.As(err, &network) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled)
}

// errClosed: the store was closed.
var errClosed = errors.New("storage: closed")

// unavailable types errors for which trying again later helps.
func unavailable(err error) error {
	var typed *enroll.Error
	if err == nil || errors.As(err, &typed) {
		return err
	}
	if errors.Is(err, errAgain) || lost(err) || refusedByPostgres(err) || busySQLite(err) {
		return &enroll.Error{Kind: enroll.KindUnavailable, Code: "store_unavailable", Op: "storage",
			Text: "The database does not answer.", Hint: "Try again in a moment.", Err: err}
	}
	return err
}
