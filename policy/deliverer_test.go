package policy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"rollcall/enroll"
)

// memory is a DeliveryStore of situations and what was committed for them.
type memory struct {
	mu         sync.Mutex
	due        []string // device IDs, oldest first
	leases     map[string]time.Time
	situations map[string]Situation
	fail       map[string]error // by device: of Situation; "claim" and "commit"
	claims     []int            // how many each claim gave
	commits    []committed
	reading    int // Situations being read
	most       int
}

type committed struct {
	Device, Enrollment string
	Commands           []Command
	Cancel, Forget     []string
	Declare            bool
	Again, At          time.Time
}

func newMemory(situations ...Situation) *memory {
	m := &memory{leases: map[string]time.Time{}, situations: map[string]Situation{}, fail: map[string]error{}}
	for _, s := range situations {
		m.situations[s.Device.ID] = s
	}
	return m
}

func (m *memory) markDue(ids ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.due = append(m.due, ids...)
}

func (m *memory) failWith(key string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail[key] = err
}

func (m *memory) done() []committed {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.commits)
}

func (m *memory) stillDue() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.due)
}

func (m *memory) ClaimDue(_ context.Context, now time.Time, lease time.Duration, limit int) ([]Due, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fail["claim"]; err != nil {
		return nil, err
	}
	var due []Due
	for _, id := range m.due {
		if len(due) < limit && !m.leases[id].After(now) {
			m.leases[id] = now.Add(lease)
			due = append(due, Due{DeviceID: id, Generation: 1})
		}
	}
	m.claims = append(m.claims, len(due))
	return due, nil
}

func (m *memory) Situations(_ context.Context, ids []string) (map[string]Situation, error) {
	m.mu.Lock()
	m.reading++
	m.most = max(m.most, m.reading)
	m.mu.Unlock()
	time.Sleep(time.Millisecond) // in the bubble: all planners that may run get here
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reading--
	out := map[string]Situation{}
	for _, id := range ids {
		if err := m.fail[id]; err != nil {
			return nil, err
		}
		if s, there := m.situations[id]; there {
			out[id] = s
		}
	}
	return out, nil
}

func (m *memory) Commit(_ context.Context, plans []Commit, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fail["commit"]; err != nil {
		return err
	}
	for _, p := range plans {
		m.due = slices.DeleteFunc(m.due, func(id string) bool { return id == p.Due.DeviceID })
		delete(m.leases, p.Due.DeviceID)
		m.commits = append(m.commits, committed{p.Due.DeviceID, p.EnrollmentID, p.Commands, p.Cancel, p.Forget, p.Declare, p.Again, now})
	}
	return nil
}

func (m *memory) Receipt(context.Context, string) (Receipt, error) { return Receipt{}, nil }

// plainEncoder writes a step as text, and fails for the device name "unwritable".
type plainEncoder struct{}

func (plainEncoder) Encode(_ context.Context, id string, s Step) (string, []byte, error) {
	if settings, ok := s.(Settings); ok && settings.Items[0].Content["DeviceName"] == "unwritable" {
		return "", nil, errors.New("cannot be written")
	}
	name := strings.TrimPrefix(fmt.Sprintf("%T", s), "policy.")
	return name, []byte(id + " " + name), nil
}

// Inventory reads identifiers as text.
func (plainEncoder) Inventory(_ string, result []byte) (map[string]bool, error) {
	out := map[string]bool{}
	for _, id := range strings.Fields(string(result)) {
		out[id] = true
	}
	return out, nil
}

// enrolled is the situation of a device that was sent everything but what the
// test adds.
func enrolled(id, name string) Situation {
	d := enroll.Device{ID: id, Serial: "S" + id, Name: name}
	s := Situation{Device: d, EnrollmentID: "E" + id}
	for _, i := range desired(s)[:2] {
		s.Delivered = append(s.Delivered, Delivered{Key: i.Key, Hash: i.Hash, CommandID: "old", State: CommandAcknowledged, Attempts: 1})
	}
	return s
}

// desired is what a device without declarations is to have.
func desired(s Situation) []Item {
	d := NewPlanner().Desire(s.Policies, TargetOf(s.Device, false), VariablesOf(s.Device, s.Owner, ""), s.Device.Name)
	items, _, _, err := NewPlanner().wanted(s, d, time.Time{})
	if err != nil {
		panic(err)
	}
	return items
}

// bench is a running worker in a bubble of synthetic time.
type bench struct {
	*Deliverer
	store  *memory
	log    *bytes.Buffer
	queued int
	start  time.Time
}

// work runs test beside a worker on the store.
func work(t *testing.T, store *memory, test func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{store: store, log: &bytes.Buffer{}, start: time.Now()}
		var mu sync.Mutex
		queued := func() {
			mu.Lock()
			defer mu.Unlock()
			b.queued++
		}
		b.Deliverer = NewDeliverer(store, plainEncoder{}, Options{Queued: queued, Log: slog.New(slog.NewTextHandler(b.log, nil))})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.Run(ctx) }()
		synctest.Wait() // the first look is over
		test(t, b)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run ended with %v", err)
		}
	})
}

// pass lets synthetic time go by.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

const planning = 2 * time.Millisecond // what one Situation of the store takes, and a little

func TestDelivererKick(t *testing.T) {
	s := enrolled("1", "ipad")
	s.Delivered = append(s.Delivered, Delivered{Key: "setting:device_name", Hash: "old", CommandID: "open", State: CommandSent, Attempts: 1},
		Delivered{Key: "profile:gone", Removal: true, CommandID: "removal", State: CommandAcknowledged, Attempts: 1})
	work(t, newMemory(s), func(t *testing.T, b *bench) {
		b.store.markDue("1")
		b.Kick()
		b.Kick() // does not block
		pass(planning)
		commits := b.store.done()
		if len(commits) != 1 || len(commits[0].Commands) != 1 {
			t.Fatalf("committed %+v, want one plan with one command", commits)
		}
		id := commits[0].Commands[0].ID
		want := committed{Device: "1", Enrollment: "E1", Cancel: []string{"open"}, Forget: []string{"profile:gone"},
			Commands: []Command{{ID: id, RequestType: "Settings", Body: []byte(id + " Settings"), ItemKey: "setting:device_name",
				Title: desired(s)[2].Title, Hash: desired(s)[2].Hash, Tries: 1}}}
		if diff := cmp.Diff(want, commits[0], cmpopts.IgnoreFields(committed{}, "At")); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if id == "" || commits[0].At.Location() != time.UTC || commits[0].At.Sub(b.start) > planning {
			t.Errorf("command %q committed at %v, started at %v", id, commits[0].At, b.start)
		}
		if b.queued != 1 {
			t.Errorf("queued was called %d times, want once", b.queued)
		}
	})
}

func TestDelivererPoll(t *testing.T) {
	work(t, newMemory(enrolled("1", "ipad")), func(t *testing.T, b *bench) {
		b.store.markDue("1")
		pass(pollInterval - planning)
		if n := len(b.store.done()); n != 0 {
			t.Fatalf("%d plans before the poll", n)
		}
		pass(2 * planning)
		if n := len(b.store.done()); n != 1 {
			t.Fatalf("%d plans after the poll, want one", n)
		}
	})
}

func TestDelivererQueuedOnlyForCommands(t *testing.T) {
	unwanted := enrolled("forgets", "")
	unwanted.Delivered = append(unwanted.Delivered, Delivered{Key: "setting:device_name", CommandID: "c", State: CommandQueued})
	left := enrolled("left", "ipad")
	left.EnrollmentID = ""
	store := newMemory(enrolled("has all", ""), unwanted, left)
	work(t, store, func(t *testing.T, b *bench) {
		b.store.markDue("has all", "forgets", "left", "deleted")
		b.Kick()
		pass(planning)
		commits := b.store.done()
		slices.SortFunc(commits, func(x, y committed) int { return strings.Compare(x.Device, y.Device) })
		want := []committed{{Device: "deleted"}, {Device: "forgets", Enrollment: "Eforgets", Cancel: []string{"c"}, Forget: []string{"setting:device_name"}},
			{Device: "has all", Enrollment: "Ehas all"}, {Device: "left"}}
		if diff := cmp.Diff(want, commits, cmpopts.IgnoreFields(committed{}, "At"), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if b.queued != 0 {
			t.Errorf("queued was called %d times without a command", b.queued)
		}
		if b.log.Len() > 0 {
			t.Errorf("logged: %s", b.log)
		}
	})
}

func TestDelivererFailedPlanStaysDue(t *testing.T) {
	for _, key := range []string{"1", "commit"} { // the one reads, the other writes
		t.Run(key, func(t *testing.T) {
			work(t, newMemory(enrolled("1", "ipad")), func(t *testing.T, b *bench) {
				b.store.failWith(key, errors.New("disk on fire"))
				b.store.markDue("1")
				b.Kick()
				pass(planning)
				if len(b.store.done()) != 0 || len(b.store.stillDue()) != 1 || b.queued != 0 {
					t.Fatalf("committed %v, due %v, queued %d", b.store.done(), b.store.stillDue(), b.queued)
				}
				if !strings.Contains(b.log.String(), "disk on fire") {
					t.Errorf("the log does not say why: %s", b.log)
				}
				b.store.failWith(key, nil)
				pass(claimLease - pollInterval)
				if len(b.store.done()) != 0 {
					t.Fatal("planned again before the lease ended")
				}
				pass(2 * pollInterval)
				if len(b.store.done()) != 1 || len(b.store.stillDue()) != 0 || b.queued != 1 {
					t.Errorf("committed %v, due %v, queued %d", b.store.done(), b.store.stillDue(), b.queued)
				}
			})
		})
	}
}

func TestDelivererEncodeErrorStopsNobodyElse(t *testing.T) {
	work(t, newMemory(enrolled("1", "ipad"), enrolled("2", "unwritable"), enrolled("3", "ipad")), func(t *testing.T, b *bench) {
		b.store.markDue("1", "2", "3")
		b.Kick()
		pass(10 * planning)
		var devices []string
		for _, c := range b.store.done() {
			devices = append(devices, c.Device)
		}
		slices.Sort(devices)
		if diff := cmp.Diff([]string{"1", "3"}, devices); diff != "" {
			t.Errorf("planned (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"2"}, b.store.stillDue()); diff != "" {
			t.Errorf("due (-want +got):\n%s", diff)
		}
		if got := b.log.String(); !strings.Contains(got, "setting:device_name: cannot be written") || !strings.Contains(got, "device=2") {
			t.Errorf("the log does not say what and where: %s", got)
		}
	})
}

func TestDelivererClaimErrorIsTriedAgain(t *testing.T) {
	work(t, newMemory(enrolled("1", "ipad")), func(t *testing.T, b *bench) {
		b.store.failWith("claim", errors.New("no connection"))
		b.store.markDue("1")
		b.Kick()
		pass(planning)
		b.store.failWith("claim", nil)
		pass(pollInterval + planning)
		if len(b.store.done()) != 1 || strings.Count(b.log.String(), "no connection") != 1 {
			t.Errorf("committed %v, logged %s", b.store.done(), b.log)
		}
	})
}

// TestDelivererFullBatches has more due devices than one claim takes: all are
// planned without waiting for the next poll, a few at a time.
func TestDelivererFullBatches(t *testing.T) {
	const devices = 2*claimBatch + 1
	store := newMemory()
	var ids []string
	for i := range devices {
		id := fmt.Sprint(i)
		ids = append(ids, id)
		store.situations[id] = enrolled(id, "ipad")
	}
	work(t, store, func(t *testing.T, b *bench) {
		store.markDue(ids...)
		b.Kick()
		pass(pollInterval / 2)
		if n, batches := len(store.done()), 2*claimBatch/commitBatch+1; n != devices || b.queued != batches {
			t.Errorf("%d plans and %d calls of queued, want %d and %d", n, b.queued, devices, batches)
		}
		if diff := cmp.Diff([]int{0, claimBatch, claimBatch, 1}, store.claims); diff != "" {
			t.Errorf("claims (-want +got):\n%s", diff)
		}
		if store.most != planners {
			t.Errorf("%d plans at once, want %d", store.most, planners)
		}
	})
}

func TestDelivererWithoutOptions(t *testing.T) {
	store := newMemory(enrolled("1", "ipad"))
	store.markDue("1")
	n, err := NewDeliverer(store, plainEncoder{}, Options{}).Once(t.Context())
	if n != 1 || err != nil || len(store.done()) != 1 {
		t.Errorf("planned %d (%v), committed %v", n, err, store.done())
	}
	store.failWith("claim", errors.New("no connection"))
	if n, err = NewDeliverer(store, plainEncoder{}, Options{}).Once(t.Context()); n != 0 || err == nil {
		t.Errorf("planned %d (%v) without a store", n, err)
	}
}
