// Package storagetest is the contract of the store as tests. Run exercises one
// engine through its exported methods only: a subtest per interface, each on a
// fresh store, with concurrency and faults. What holds for one engine holds for
// the other.
package storagetest
