package storagetest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"rollcall/enroll"
	"rollcall/mdm"
	"rollcall/policy"
	"rollcall/storage"
)

func testQueue(t *testing.T, open func(t *testing.T) *storage.Store) {
	each(t, open, map[string]func(w *world){
		"poll": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			got, open, err := w.Poll(w.ctx, fingerprint(1), "")
			w.ok(err)
			if got.ID != e.ID || open {
				w.Fatalf("Poll = %+v, %v", got, open)
			}
			w.queue(e.ID, 1)
			if _, open, err = w.Poll(w.ctx, fingerprint(1), ""); err != nil || !open {
				w.Fatalf("with a command: open = %v, %v", open, err)
			}
			_, _, err = w.Poll(w.ctx, fingerprint(2), "")
			w.kind(err, enroll.KindNotFound)
			_, _, err = w.Poll(w.ctx, fingerprint(1), "somebody")
			w.kind(err, enroll.KindNotFound)
			w.ok(w.CheckOut(w.ctx, e.ID, at(9)))
			_, _, err = w.Poll(w.ctx, fingerprint(1), "")
			w.kind(err, enroll.KindNotFound)
		},
		"in order, one after the other": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			ids := w.queue(e.ID, 3)
			c, err := w.HandOut(w.ctx, e.ID, at(10), time.Minute)
			w.ok(err)
			for i, id := range ids {
				if c == nil || c.ID != id || string(c.Body) != "body of "+id || c.RequestType != "DeviceInformation" {
					w.Fatalf("command %d is %+v, want %s", i, c, id)
				}
				r := w.acknowledge(e.ID, c.ID, 11+i)
				if !r.Known || r.Repeated || r.Open || r.RequestType != "DeviceInformation" {
					w.Fatalf("Report = %+v", r)
				}
				c = r.Next
			}
			if c != nil {
				w.Fatalf("a fourth command: %+v", c)
			}
			if _, open, err := w.Poll(w.ctx, fingerprint(1), ""); err != nil || open {
				w.Fatalf("open = %v, %v", open, err)
			}
		},
		"a result counts once": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			ids := w.queue(e.ID, 1)
			_, err := w.HandOut(w.ctx, e.ID, at(10), time.Minute)
			w.ok(err)
			w.acknowledge(e.ID, ids[0], 11)
			r, err := w.Report(w.ctx, mdm.Report{EnrollmentID: e.ID, CommandID: ids[0], State: policy.CommandFailed, Error: "no", At: at(12)}, time.Minute)
			w.ok(err)
			if !r.Known || !r.Repeated {
				w.Fatalf("repeated result: %+v", r)
			}
			c, err := w.CommandRecord(w.ctx, ids[0])
			w.ok(err)
			if c.State != policy.CommandAcknowledged || c.Error != "" || string(c.Result) != "result" || !c.FinishedAt.Equal(at(11)) || c.Attempts != 1 || !c.SentAt.Equal(at(10)) {
				w.Fatalf("record %+v", c)
			}
			if r = w.acknowledge(e.ID, "unknown", 13); r.Known || r.Repeated {
				w.Fatalf("unknown command: %+v", r)
			}
			other := w.enroll("BBB", fingerprint(2))
			if r = w.acknowledge(other.ID, ids[0], 13); r.Known {
				w.Fatalf("command of another enrollment: %+v", r)
			}
		},
		"four connections at once": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			w.queue(e.ID, 4)
			var mu sync.Mutex
			var got []string
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					c, err := w.HandOut(w.ctx, e.ID, at(10), time.Minute)
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						w.Error(err)
					}
					if c != nil {
						got = append(got, c.ID)
					}
				})
			}
			wg.Wait()
			if len(got) != 1 {
				w.Fatalf("handed out to %d connections: %v", len(got), got)
			}
			if due := w.pushes(70); !slices.Equal(due, []string{e.ID}) {
				w.Fatalf("pushes due at the end of the lease: %v", due)
			}
		},
		"NotNow keeps the command for the next session": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			w.pushes(5)
			ids := w.queue(e.ID, 2)
			w.pushes(5)
			c, err := w.HandOut(w.ctx, e.ID, at(10), time.Minute)
			w.ok(err)
			r, err := w.Report(w.ctx, mdm.Report{EnrollmentID: e.ID, CommandID: c.ID, NotNow: true, At: at(11)}, 30*time.Second)
			w.ok(err)
			if r.Next == nil || r.Next.ID != ids[1] {
				w.Fatalf("after NotNow: %+v", r)
			}
			r, err = w.Report(w.ctx, mdm.Report{EnrollmentID: e.ID, CommandID: ids[1], State: policy.CommandAcknowledged, At: at(12)}, 30*time.Second)
			w.ok(err)
			if r.Next != nil || !r.Open {
				w.Fatalf("with one deferred: %+v", r)
			}
			if due := w.pushes(41); len(due) != 0 {
				w.Fatalf("pushed before the retry: %v", due)
			}
			if due := w.pushes(42); len(due) != 1 {
				w.Fatalf("no push after the retry")
			}
			rec, err := w.CommandRecord(w.ctx, ids[0])
			w.ok(err)
			if !rec.NotNow || rec.State != policy.CommandSent {
				w.Fatalf("record %+v", rec)
			}
			if c, err = w.HandOut(w.ctx, e.ID, at(50), time.Minute); err != nil || c == nil || c.ID != ids[0] {
				w.Fatalf("next session: %+v, %v", c, err)
			}
			r, err = w.Report(w.ctx, mdm.Report{EnrollmentID: e.ID, CommandID: ids[0], NotNow: true, At: at(51)}, 30*time.Second)
			w.ok(err)
			if r.Next != nil || !r.Open {
				w.Fatalf("NotNow as the last word: %+v", r)
			}
			if due := w.pushes(500); len(due) != 0 {
				w.Fatalf("a push although the device comes back by itself")
			}
		},
		"a lost connection": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			ids := w.queue(e.ID, 2)
			w.pushes(5)
			_, err := w.HandOut(w.ctx, e.ID, at(10), time.Minute)
			w.ok(err)
			c, err := w.HandOut(w.ctx, e.ID, at(69), time.Minute)
			w.ok(err)
			if c != nil {
				w.Fatalf("handed out twice: %+v", c)
			}
			if c, err = w.HandOut(w.ctx, e.ID, at(70), time.Minute); err != nil || c == nil || c.ID != ids[0] {
				w.Fatalf("after the lease: %+v, %v", c, err)
			}
			// Both connections answer: the first gets the next command.
			if r := w.acknowledge(e.ID, ids[0], 71); r.Repeated || r.Next == nil || r.Next.ID != ids[1] {
				w.Fatalf("first answer: %+v", r)
			}
			if r := w.acknowledge(e.ID, ids[0], 72); !r.Repeated || r.Next != nil || !r.Open {
				w.Fatalf("second answer: %+v", r)
			}
			if due := w.pushes(200); len(due) != 1 {
				w.Fatalf("no push for the command that is outstanding")
			}
		},
		"enqueue": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			ids := w.queue(e.ID, 2)
			w.kind(w.Enqueue(w.ctx, e.ID, []mdm.Command{{ID: enroll.NewID()}, {ID: ids[0]}}, at(4)), enroll.KindConflict)
			records, err := w.Commands(w.ctx, e.ID, enroll.Page{Limit: 1})
			w.ok(err)
			if len(records) != 1 || records[0].ID != ids[1] || records[0].State != policy.CommandQueued {
				w.Fatalf("newest: %+v", records)
			}
			if records, err = w.Commands(w.ctx, e.ID, enroll.Page{Limit: 10, After: ids[1]}); err != nil || len(records) != 1 || records[0].ID != ids[0] {
				w.Fatalf("second page: %+v, %v", records, err)
			}
			w.ok(w.CheckOut(w.ctx, e.ID, at(5)))
			w.kind(w.Enqueue(w.ctx, e.ID, []mdm.Command{{ID: enroll.NewID()}}, at(6)), enroll.KindConflict)
			w.kind(w.Enqueue(w.ctx, "unknown", []mdm.Command{{ID: enroll.NewID()}}, at(6)), enroll.KindNotFound)
			_, err = w.CommandRecord(w.ctx, "unknown")
			w.kind(err, enroll.KindNotFound)
			if c, err := w.HandOut(w.ctx, e.ID, at(7), time.Minute); err != nil || c != nil {
				w.Fatalf("from an ended enrollment: %+v, %v", c, err)
			}
		},
		"stale": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			w.queue(e.ID, 1)
			if n, err := w.Stale(w.ctx, at(4), at(5)); err != nil || n != 0 {
				w.Fatalf("a push is due already: %d, %v", n, err)
			}
			w.pushes(5)
			if n, err := w.Stale(w.ctx, at(5), at(6)); err != nil || n != 0 {
				w.Fatalf("pushed just now: %d, %v", n, err)
			}
			if n, err := w.Stale(w.ctx, at(600), at(700)); err != nil || n != 1 {
				w.Fatalf("pushed long ago: %d, %v", n, err)
			}
			if due := w.pushes(700); len(due) != 1 {
				w.Fatalf("pushes: %v", due)
			}
		},
	})
}
