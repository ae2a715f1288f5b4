package stage

import (
	"database/sql"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"

	"go.uber.org/goleak"

	"rollcall/sim/applepki"
	"rollcall/sim/fleet"
	"rollcall/storage/pgtest"
	"rollcall/storage/storagetest"
)

// One Apple and one pool of keys for all stages of this process: keys take long
// to make, and no test is about them.
var (
	apple *applepki.PKI
	keys  *fleet.KeyPool
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		child()
		return
	}
	// These tests wait more than they compute.
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(4*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	var err error
	if apple, err = applepki.New(); err == nil {
		keys, err = fleet.NewKeyPool(8, 2048)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := pgtest.Main(m)
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// engines are the databases that every play runs on.
var engines = []struct {
	name string
	dsn  func(t *testing.T) string
}{
	{"sqlite", func(t *testing.T) string { return storagetest.SQLite(t) }},
	{"postgres", func(t *testing.T) string { return storagetest.Postgres(t) }},
}

// onEngines runs a test on both databases, at the same time.
func onEngines(t *testing.T, run func(t *testing.T, dsn string)) {
	t.Helper()
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			if e.name == "postgres" && pgtest.Skipped() {
				return // TestMain says so
			}
			t.Parallel()
			run(t, e.dsn(t))
		})
	}
}

// onBoth plays on both databases, each with a server of its own.
func onBoth(t *testing.T, run func(t *testing.T, p *play), change ...func(*Options)) {
	t.Helper()
	onEngines(t, func(t *testing.T, dsn string) { run(t, start(t, dsn, change...)) })
}

// openDatabase looks into the database past the server.
func openDatabase(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	driver, name := "postgres", dsn
	if path, ok := cutSQLite(dsn); ok {
		driver, name = "sqlite", "file:"+path+"?_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}
