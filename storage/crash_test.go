package storage_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/enroll"
	"rollcall/enroll/importer"
	"rollcall/mdm"
	"rollcall/storage"
	"rollcall/storage/pgtest"
	"rollcall/storage/storagetest"
)

// crasher is set for the process that is killed: the name of its work.
const crasher = "ROLLCALL_STORAGE_CRASH"

const crashRows = 5000

var crashWork = map[string]func(s *storage.Store, ready func()) error{
	// The progress of a late row says that the import is in its middle.
	"import": func(s *storage.Store, ready func()) error {
		imp, ok, err := s.ClaimImport(context.Background(), "worker", time.Now(), time.Millisecond)
		if err != nil || !ok {
			return fmt.Errorf("nothing to apply: %v", err)
		}
		_, err = s.ApplyImport(context.Background(), enroll.ImportLease{ImportID: imp.ID, Worker: "worker"}, time.Now(), func(done int) {
			if done > crashRows-1000 {
				ready()
			}
		})
		return err
	},
	// Authenticate over and over, so that the kill meets it at any point.
	"authenticate": func(s *storage.Store, ready func()) error {
		for i := 1; ; i++ {
			d, err := s.Device(context.Background(), "AAA")
			if err != nil {
				return err
			}
			fp := fmt.Sprintf("%064d", i)
			e, err := s.Authenticate(context.Background(), mdm.Authentication{DeviceID: d.ID, UDID: "udid", Fingerprint: fp, At: time.Now()})
			if err != nil {
				return err
			}
			if err := s.Enqueue(context.Background(), e.ID, []mdm.Command{{ID: enroll.NewID(), RequestType: "ProfileList"}}, time.Now()); err != nil {
				return err
			}
			if i == 20 {
				ready()
			}
		}
	},
}

// TestCrasher is not a test of its own: it is the process that TestCrash kills.
func TestCrasher(t *testing.T) {
	name := os.Getenv(crasher)
	if name == "" {
		return
	}
	s, err := storage.Open(context.Background(), storage.Config{DSN: os.Getenv(crasher + "_DSN"), Sealer: storagetest.Sealer()})
	if err != nil {
		t.Fatal(err)
	}
	if err := crashWork[name](s, func() {
		fmt.Println("in the middle")
		if name == "import" {
			select {} // until the kill
		}
	}); err != nil {
		t.Fatal(err)
	}
}

// crash runs a work in a process of its own and kills it in the middle.
func crash(t *testing.T, name, dsn string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestCrasher$", "-test.v")
	cmd.Env = append(os.Environ(), crasher+"="+name, crasher+"_DSN="+dsn)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	reached := false
	for !reached && lines.Scan() {
		reached = lines.Text() == "in the middle"
	}
	cmd.Process.Kill()
	cmd.Wait()
	if !reached {
		t.Fatal("the process ended before it was killed")
	}
}

func TestCrash(t *testing.T) {
	dsns := map[string]func(t *testing.T) string{"sqlite": func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "rollcall.db") }}
	if !pgtest.Skipped() {
		dsns["postgres"] = func(t *testing.T) string { return pgtest.Database(t, "") }
	}
	for engine, dsn := range dsns {
		t.Run("import/"+engine, func(t *testing.T) { crashImport(t, dsn(t)) })
	}
	t.Run("authenticate", func(t *testing.T) {
		for range 3 {
			dsn := "sqlite:" + filepath.Join(t.TempDir(), "rollcall.db")
			s, err := storage.Open(t.Context(), storage.Config{DSN: dsn, Sealer: storagetest.Sealer()})
			if err != nil {
				t.Fatal(err)
			}
			first := storagetest.Enroll(t, s, "AAA", "f")
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			crash(t, "authenticate", dsn)
			s = storagetest.Open(t, dsn)
			d, err := s.Device(t.Context(), "AAA")
			if err != nil || d.EnrollmentID == "" || d.EnrollmentID == first.ID {
				t.Fatalf("device %+v, %v", d, err)
			}
			// The enrollment that the device names is the one that is pinned, and
			// none of another one's commands is open.
			e, err := s.EnrollmentByID(t.Context(), d.EnrollmentID)
			if err != nil || e.State != mdm.EnrollmentAuthenticated {
				t.Fatalf("enrollment %+v, %v", e, err)
			}
			if got, _, err := s.Poll(t.Context(), e.Fingerprint, ""); err != nil || got.ID != e.ID {
				t.Fatalf("poll %+v, %v", got, err)
			}
			var previous int
			fmt.Sscanf(e.Fingerprint, "%d", &previous)
			old, err := s.Enrollment(t.Context(), fmt.Sprintf("%064d", previous-1))
			if err != nil || old.State != mdm.EnrollmentEnded {
				t.Fatalf("the one before: %+v, %v", old, err)
			}
			commands, err := s.Commands(t.Context(), old.ID, enroll.Page{})
			if err != nil || len(commands) != 1 || commands[0].State.Open() {
				t.Fatalf("its commands: %+v, %v", commands, err)
			}
		}
	})
}

// crashImport kills a server that applies an import: nothing of it may be on
// the roll, and the next server goes on.
func crashImport(t *testing.T, dsn string) {
	s, err := storage.Open(t.Context(), storage.Config{DSN: dsn, Sealer: storagetest.Sealer()})
	if err != nil {
		t.Fatal(err)
	}
	var file strings.Builder
	file.WriteString("name,email,ownership,SerialNumber,platform,group\n")
	for i := range crashRows {
		fmt.Fprintf(&file, "U,u%d@example.com,corporate,S%06d,ios,g\n", i, i)
	}
	work, stop := context.WithCancel(t.Context())
	im := importer.New(s, nil, slog.New(slog.DiscardHandler))
	var running sync.WaitGroup
	running.Go(func() { im.Run(work) })
	imp, _, err := im.Upload(t.Context(), importer.Upload{File: strings.NewReader(file.String()), Options: enroll.ImportOptions{Domain: "local", PreEnroll: true}})
	if err != nil {
		t.Fatal(err)
	}
	if imp, err = im.Await(t.Context(), imp.ID, time.Minute); err != nil || imp.State != enroll.ImportPlanned {
		t.Fatalf("%+v, %v", imp, err)
	}
	stop()
	running.Wait()
	if _, err := s.ChangeImport(t.Context(), imp.ID, func(i enroll.Import) (enroll.Import, error) { i.State = enroll.ImportApplying; return i, nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	crash(t, "import", dsn)
	s = storagetest.Open(t, dsn)
	if devices, err := s.Devices(t.Context(), enroll.DeviceFilter{}, enroll.Page{}); err != nil || len(devices) != 0 {
		t.Fatalf("%d devices are left of half an import, %v", len(devices), err)
	}
	if got, err := s.Import(t.Context(), imp.ID); err != nil || got.State != enroll.ImportApplying {
		t.Fatalf("%+v, %v", got, err)
	}
	work, stop = context.WithCancel(t.Context())
	im = importer.New(s, nil, slog.New(slog.DiscardHandler))
	running.Go(func() { im.Run(work) })
	defer func() { stop(); running.Wait() }()
	if imp, err = im.Await(t.Context(), imp.ID, time.Minute); err != nil || imp.State != enroll.ImportApplied {
		t.Fatalf("%+v, %v", imp, err)
	}
	if g, err := s.Group(t.Context(), "g"); err != nil || g.Devices != crashRows {
		t.Fatalf("%+v, %v", g, err)
	}
}
