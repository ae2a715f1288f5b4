package pgtest

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	once    sync.Once
	cluster *Cluster
	failed  error
	serial  atomic.Int64
)

// Skipped says whether PostgreSQL was left out on purpose.
func Skipped() bool { return os.Getenv(Variable) == "skip" }

// Main runs the tests of a package and stops the cluster they shared.
func Main(m *testing.M) int {
	defer StopShared()
	if Skipped() {
		fmt.Println("PostgreSQL half did not run: " + Variable + "=skip")
	}
	return m.Run()
}

// Shared is the one cluster of this process, started when first asked for.
// Without a server the test fails.
func Shared(t testing.TB) *Cluster {
	t.Helper()
	once.Do(func() { cluster, failed = Start() })
	if failed != nil {
		t.Fatal(failed)
	}
	return cluster
}

// StopShared stops the cluster that Shared has started, if it has.
func StopShared() {
	if cluster != nil {
		cluster.Stop()
	}
}

// Name is a database name that this process has not used yet.
func Name() string { return fmt.Sprintf("rollcall_test_%d_%d", os.Getpid(), serial.Add(1)) }

// Database makes a database for one test, empty or as a copy of template, and
// removes it when the test ends.
func Database(t testing.TB, template string) (dsn string) {
	t.Helper()
	c := Shared(t)
	if template == "" {
		template = "template0"
	}
	name := Name()
	dsn, err := c.Clone(template, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Drop(name); err != nil {
			t.Errorf("drop %s: %v", name, err)
		}
	})
	return dsn
}
