package storage_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"rollcall/enroll"
	"rollcall/mdm"
	"rollcall/storage"
	"rollcall/storage/storagetest"
)

// crasher is set for the process that is killed: the name of its work.
const crasher = "ROLLCALL_STORAGE_CRASH"

const crashRows = 5000

var crashWork = map[string]func(s *storage.Store, ready func()) error{
	// The merge of a late row says that the import is in its middle.
	"import": func(s *storage.Store, ready func()) error {
		imp := enroll.Import{ID: enroll.NewID(), Domain: "local", CreatedAt: time.Now()}
		for i := range crashRows {
			imp.Rows = append(imp.Rows, enroll.ImportRow{Line: i + 2, Serial: fmt.Sprintf("S%06d", i), Email: fmt.Sprintf("u%d@example.com", i)})
		}
		_, err := s.ApplyImport(context.Background(), imp, func(_ *enroll.Device, row enroll.ImportRow, user string) (enroll.Device, *enroll.RowError) {
			if row.Line == crashRows-100 {
				ready()
			}
			return enroll.Device{ID: enroll.NewID(), UserID: user, State: enroll.StatePreEnrolled}, nil
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
	t.Run("import", func(t *testing.T) {
		dsn := "sqlite:" + filepath.Join(t.TempDir(), "rollcall.db")
		storagetest.Migrate(t, dsn)
		crash(t, "import", dsn)
		s := storagetest.Open(t, dsn)
		devices, err := s.Devices(t.Context(), enroll.DeviceFilter{}, enroll.Page{})
		if err != nil || len(devices) != 0 {
			t.Errorf("%d devices are left of half an import, %v", len(devices), err)
		}
		if imports, err := s.Imports(t.Context(), enroll.Page{}); err != nil || len(imports) != 0 {
			t.Errorf("imports %v, %v", imports, err)
		}
		storagetest.Enroll(t, s, "S000001", "f")
	})
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
