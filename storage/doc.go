// Package storage is the SQL store of Rollcall, for SQLite (embedded, the
// default) and PostgreSQL, through sqlx. One Store implements every store
// interface of the rooms below: a file per interface, and the doc comments of
// the interfaces are the specification.
//
//	Poll, Device, ...      ChangeDevice, Report, ...
//	       |                        |
//	     read                 write(closure)            may run again
//	       |                        |
//	+------+------------------------+------+
//	| engine: sqlite.go | postgres.go      |  everything in which they differ
//	+--------------------------------------+
//	SQLite      a pool of readers; one writer goroutine that commits in groups:
//	            waiting closures run in one transaction, each in a savepoint
//	PostgreSQL  one pool; READ COMMITTED with row locks, retried on 40001, 40P01
//
// Every query is prepared once per connection and found again by its text.
// Times are microseconds since 1970 in UTC, 0 is the zero time. Text compares
// by bytes in both engines. Columns that hold secrets are sealed with the
// purpose "table/column/key".
//
// Rows are locked in the order device, enrollment, request, message, command,
// delivery, push, so that transactions do not meet head-on; where two do, one is retried.
// A closure that a caller hands in (ChangeDevice, Decide, ...) runs inside the
// transaction and must not call the store.
//
// The package makes no decisions of the rooms, calls nobody and has no workers.
package storage
