// Package pgtest gives tests and benchmarks a PostgreSQL of their own: the
// server that ROLLCALL_TEST_POSTGRES names, or a throw-away cluster made from
// the installed server binaries in a temporary directory.
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
//
// A cluster made here writes durably (fsync on), sorts text by an ICU locale
// where the server can (so that queries which rely on byte order are found
// out), and ends with the process that started it, however that ends.
package pgtest
