package storage_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/enroll"
	"rollcall/enroll/importer"
	"rollcall/storage/pgtest"
	"rollcall/storage/storagetest"
)

// BenchmarkImport plans and applies a file of 100,000 new devices with a user
// for every tenth, then one that changes them all, and reverts that.
func BenchmarkImport(b *testing.B) {
	const rows = 100_000
	file := func(run int, name string) string {
		var f strings.Builder
		f.WriteString("name,email,mobile,ownership,devicename,SerialNumber,platform,group,tags\n")
		for i := range rows {
			fmt.Fprintf(&f, "User %d,user%d@example.com,+49 151 %07d,corporate,%s %d,R%02dS%07d,ios,Benchmark,a|b\n", i/10, i/10, i/10, name, i, run, i)
		}
		return f.String()
	}
	dsns := map[string]func(b *testing.B) string{
		"sqlite": func(b *testing.B) string { return "sqlite:" + filepath.Join(b.TempDir(), "rollcall.db") },
	}
	if !pgtest.Skipped() {
		dsns["postgres"] = func(b *testing.B) string { return pgtest.Database(b, "") }
	}
	for name, dsn := range dsns {
		b.Run(name, func(b *testing.B) {
			s := storagetest.Open(b, dsn(b))
			im := importer.New(s, nil, slog.New(slog.DiscardHandler))
			ctx, stop := context.WithCancel(b.Context())
			var running sync.WaitGroup
			running.Go(func() { im.Run(ctx) })
			defer func() { stop(); running.Wait() }()
			spent := map[string]time.Duration{}
			timed := func(what string, work func() (enroll.Import, error)) enroll.Import {
				started := time.Now()
				imp, err := work()
				if err != nil {
					b.Fatal(what, err)
				}
				spent[what] += time.Since(started)
				return imp
			}
			run := 0
			for b.Loop() {
				for _, what := range []string{"new", "change"} {
					text := file(run, what)
					imp := timed("plan-"+what, func() (enroll.Import, error) {
						up, _, err := im.Upload(ctx, importer.Upload{File: strings.NewReader(text), Options: enroll.ImportOptions{Domain: "local", PreEnroll: true}})
						if err != nil {
							return up, err
						}
						return im.Await(ctx, up.ID, time.Hour)
					})
					if imp.Counts.New+imp.Counts.Changed != rows {
						b.Fatalf("%+v", imp)
					}
					timed("apply-"+what, func() (enroll.Import, error) { return im.Apply(ctx, imp.ID, "", nil, time.Hour) })
					if what == "change" {
						timed("revert", func() (enroll.Import, error) { return im.Revert(ctx, imp.ID, "", time.Hour) })
					}
				}
				run++
			}
			for what, d := range spent {
				b.ReportMetric(d.Seconds()/float64(b.N), what+"-s")
			}
		})
	}
}
