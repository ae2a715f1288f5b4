package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// postgresEngine has one pool.
type postgresEngine struct {
	db    *sqlx.DB
	cache cache
	log   *slog.Logger
}

func openPostgres(ctx context.Context, dsn string, maxConns int, log *slog.Logger) (engine, error) {
	dsn, err := completeDSN(dsn)
	if err != nil {
		return nil, err
	}
	connector, err := pq.NewConnector(dsn)
	if err != nil {
		return nil, errors.New("the PostgreSQL URL is not valid") // the cause repeats it with its password
	}
	if maxConns == 0 {
		maxConns = 16
	}
	db := sqlx.NewDb(sql.OpenDB(connector), "postgres")
	db.Mapper = mapper
	db.SetMaxOpenConns(maxConns)
	db.SetMaxIdleConns(maxConns) // else database/sql keeps 2 and opens the others anew each time
	e := &postgresEngine{db: db, log: log}
	e.cache.prepare = func(ctx context.Context, query string) (*sqlx.Stmt, error) {
		return db.PreparexContext(ctx, sqlx.Rebind(sqlx.DOLLAR, query))
	}
	if err := e.migrate(ctx); err != nil {
		db.Close()
		return nil, err
	}
	return e, nil
}

// completeDSN sets what must not depend on a default of the driver.
func completeDSN(dsn string) (string, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return "", errors.New("the PostgreSQL URL is not valid") // the cause repeats it with its password
	}
	q := u.Query()
	if !q.Has("sslmode") {
		host := u.Hostname()
		if q.Has("host") {
			host = q.Get("host")
		}
		q.Set("sslmode", "require")
		if ip := net.ParseIP(host); host == "" || host == "localhost" || strings.HasPrefix(host, "/") || ip != nil && ip.IsLoopback() {
			q.Set("sslmode", "disable")
		}
	}
	for name, value := range map[string]string{"connect_timeout": "10", "application_name": "rollcall"} {
		if !q.Has(name) {
			q.Set(name, value)
		}
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

func (e *postgresEngine) name() string { return "postgres" }

func (e *postgresEngine) close() error {
	e.cache.close()
	if err := e.db.Close(); !lost(err) { // connections that are gone need no closing
		return err
	}
	return nil
}

func (e *postgresEngine) pool() *session { return &session{engine: e, stmt: e.cache.get} }

func (e *postgresEngine) transact(ctx context.Context, fn func(*session) error) error {
	return again(ctx, e.log, passingInPostgres, func() error {
		return inTransaction(ctx, e, e.db, &e.cache, false, fn)
	})
}

func (e *postgresEngine) snapshot(ctx context.Context, fn func(*session) error) error {
	return again(ctx, e.log, passingInPostgres, func() error {
		return inTransaction(ctx, e, e.db, &e.cache, true, fn)
	})
}

func (e *postgresEngine) lock() string             { return " FOR UPDATE" }
func (e *postgresEngine) skipLocked() string       { return " FOR UPDATE SKIP LOCKED" }
func (e *postgresEngine) in(column string) string  { return column + " = ANY(?)" }
func (e *postgresEngine) list(values []string) any { return pq.StringArray(values) }

func (e *postgresEngine) records(fields string) string {
	return "json_to_recordset(CAST(? AS json)) AS r(" + fields + ")"
}

func (e *postgresEngine) mutex(m mutex, shared bool) string {
	if shared {
		return fmt.Sprintf(`SELECT pg_advisory_xact_lock_shared(%d)`, m)
	}
	return fmt.Sprintf(`SELECT pg_advisory_xact_lock(%d)`, m)
}

// bulk has each statement planned anew: a plan that was made for an almost
// empty table reads all of it, and would be kept while the table grows (an
// import of 100,000 rows took 34 s instead of 3 s).
func (e *postgresEngine) bulk() string { return `SET LOCAL plan_cache_mode = force_custom_plan` }
func (e *postgresEngine) lazy() string { return `SET LOCAL synchronous_commit = off` }

// passingInPostgres says that the transaction was not committed and may
// succeed when it is run again.
func passingInPostgres(err error) bool {
	var pe *pq.Error
	if errors.As(err, &pe) {
		return pe.Code == "40001" || pe.Code == "40P01"
	}
	var c commitError
	return lost(err) && !errors.As(err, &c) // a lost commit may have happened
}

// refusedByPostgres says that the server is going away, starting, full or a
// standby.
func refusedByPostgres(err error) bool {
	var pe *pq.Error
	if !errors.As(err, &pe) {
		return false
	}
	switch code := string(pe.Code); code {
	case "57P01", "57P02", "57P03", "53300", "25006", "40001", "40P01":
		return true
	default:
		return strings.HasPrefix(code, "08")
	}
}

// commitError is a failed COMMIT.
type commitError struct{ err error }

func (e commitError) Error() string { return fmt.Sprintf("commit: %v", e.err) }
func (e commitError) Unwrap() error { return e.err }
