package storage

import (
	"context"
	"database/sql"
	"sync"

	"github.com/jmoiron/sqlx"
)

// cache holds prepared statements by query text. database/sql prepares each
// again on every connection it comes to, once.
type cache struct {
	prepare func(ctx context.Context, query string) (*sqlx.Stmt, error)
	mu      sync.RWMutex
	stmts   map[string]*sqlx.Stmt
}

func (c *cache) find(query string) (*sqlx.Stmt, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	st, ok := c.stmts[query]
	return st, ok
}

func (c *cache) get(ctx context.Context, query string) (*sqlx.Stmt, error) {
	if st, ok := c.find(query); ok {
		return st, nil
	}
	st, err := c.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if first, ok := c.stmts[query]; ok {
		st.Close()
		return first, nil
	}
	if c.stmts == nil {
		c.stmts = map[string]*sqlx.Stmt{}
	}
	c.stmts[query] = st
	return st, nil
}

func (c *cache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, st := range c.stmts {
		st.Close()
	}
	c.stmts = nil
}

// inTransaction runs fn once. A query that was never seen is prepared on the
// transaction's own connection: asking the pool for another one while holding
// one is a deadlock as soon as all do it. It goes to the cache afterwards.
func inTransaction(ctx context.Context, e engine, db *sqlx.DB, c *cache, readOnly bool, fn func(*session) error) error {
	opts := &sql.TxOptions{ReadOnly: readOnly}
	if readOnly && e.name() == "postgres" {
		opts.Isolation = sql.LevelRepeatableRead
	}
	tx, err := db.BeginTxx(ctx, opts)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	unseen := map[string]*sqlx.Stmt{}
	err = fn(&session{engine: e, stmt: func(ctx context.Context, query string) (*sqlx.Stmt, error) {
		if st, ok := c.find(query); ok {
			return tx.StmtxContext(ctx, st), nil
		}
		if st, ok := unseen[query]; ok {
			return st, nil
		}
		st, err := tx.PreparexContext(ctx, db.Rebind(query))
		if err == nil {
			unseen[query] = st
		}
		return st, err
	}})
	if err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return commitError{err}
	}
	for query := range unseen {
		if _, err := c.get(context.WithoutCancel(ctx), query); err != nil {
			break // the transaction is done; the next one finds out
		}
	}
	return nil
}
