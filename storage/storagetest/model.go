package storagetest

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rollcall/enroll"
	"rollcall/mdm"
	"rollcall/policy"
	"rollcall/storage"
)

// modelCommand is a command as the model of the queue sees it.
type modelCommand struct {
	id       string
	final    policy.CommandState // "": open
	deferred bool
	handed   int // second of the outstanding hand-out, 0: none
	attempts int
}

// queueModel is the queue of one enrollment in twenty lines; the store must
// behave like it in any order of calls.
type queueModel struct {
	w        *world
	e        mdm.Enrollment
	second   int
	commands []*modelCommand
}

const modelLease = 60 // seconds

// next is what is to be handed out; nil: nothing.
func (m *queueModel) next() *modelCommand {
	var first *modelCommand
	for _, c := range m.commands {
		switch {
		case c.final != "":
		case c.handed > 0:
			return nil
		case first == nil && !c.deferred:
			first = c
		}
	}
	return first
}

func (m *queueModel) open() bool {
	for _, c := range m.commands {
		if c.final == "" {
			return true
		}
	}
	return false
}

// handed compares what the store handed out with what the model says.
func (m *queueModel) handed(t *rapid.T, got *mdm.Command) {
	want := m.next()
	switch {
	case want == nil && got != nil:
		t.Fatalf("second %d: %s was handed out, nothing was expected", m.second, got.ID)
	case want != nil && (got == nil || got.ID != want.id || string(got.Body) != want.id):
		t.Fatalf("second %d: %+v was handed out, expected %s", m.second, got, want.id)
	case want != nil:
		want.handed = m.second
		want.attempts++
	}
}

func (m *queueModel) handOut(t *rapid.T) {
	got, err := m.w.HandOut(m.w.ctx, m.e.ID, at(m.second), modelLease*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	leased := false
	for _, c := range m.commands {
		c.deferred = false
		if c.final == "" && c.handed > 0 && c.handed+modelLease <= m.second {
			c.handed = 0
		}
		leased = leased || c.final == "" && c.handed > 0
	}
	if leased && got != nil {
		t.Fatalf("second %d: %s was handed out while another is outstanding", m.second, got.ID)
	}
	if !leased {
		m.handed(t, got)
	}
}

func (m *queueModel) report(t *rapid.T) {
	c := &modelCommand{id: "unknown"}
	known := len(m.commands) > 0 && rapid.IntRange(0, 9).Draw(t, "known") > 0
	if known {
		c = rapid.SampledFrom(m.commands).Draw(t, "command")
	}
	r := mdm.Report{EnrollmentID: m.e.ID, CommandID: c.id, NotNow: rapid.Bool().Draw(t, "not now"), At: at(m.second),
		State: rapid.SampledFrom([]policy.CommandState{policy.CommandAcknowledged, policy.CommandFailed}).Draw(t, "state")}
	got, err := m.w.Report(m.w.ctx, r, 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if got.Known != known || got.Repeated != (known && c.final != "") {
		t.Fatalf("second %d: reporting %+v gave %+v", m.second, r, got)
	}
	if c.final == "" {
		c.handed, c.deferred = 0, r.NotNow
		if !r.NotNow {
			c.final = r.State
		}
	}
	m.handed(t, got.Next)
	if got.Open != (got.Next == nil && m.open()) {
		t.Fatalf("second %d: Open is %v", m.second, got.Open)
	}
}

func (m *queueModel) enqueue(t *rapid.T) {
	var commands []mdm.Command
	for range rapid.IntRange(1, 3).Draw(t, "commands") {
		c := &modelCommand{id: enroll.NewID()}
		m.commands = append(m.commands, c)
		commands = append(commands, mdm.Command{ID: c.id, RequestType: "ProfileList", Body: []byte(c.id)})
	}
	if err := m.w.Enqueue(m.w.ctx, m.e.ID, commands, at(m.second)); err != nil {
		t.Fatal(err)
	}
}

// check compares everything that is visible.
func (m *queueModel) check(t *rapid.T) {
	if _, open, err := m.w.Poll(m.w.ctx, m.e.Fingerprint, ""); err != nil || open != m.open() {
		t.Fatalf("second %d: Poll says %v, %v", m.second, open, err)
	}
	records, err := m.w.Commands(m.w.ctx, m.e.ID, enroll.Page{})
	if err != nil || len(records) != len(m.commands) {
		t.Fatalf("%d records of %d commands, %v", len(records), len(m.commands), err)
	}
	for i, c := range m.commands {
		r := records[len(records)-1-i]
		want := c.final
		if want == "" && c.attempts > 0 {
			want = policy.CommandSent
		} else if want == "" {
			want = policy.CommandQueued
		}
		if r.ID != c.id || r.State != want || r.Attempts != c.attempts {
			t.Fatalf("record %+v, want %s %s after %d attempts", r, c.id, want, c.attempts)
		}
	}
}

// testModel runs random calls against the model.
func testModel(t *testing.T, open func(t *testing.T) *storage.Store) {
	w := newWorld(t, open(t))
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		m := &queueModel{w: w, e: w.enroll(fmt.Sprintf("S%d", n), fingerprint(n)), second: 10}
		t.Repeat(map[string]func(*rapid.T){
			"":        m.check,
			"enqueue": m.enqueue,
			"hand out": func(t *rapid.T) {
				m.second += rapid.IntRange(1, 40).Draw(t, "seconds")
				m.handOut(t)
			},
			"report": func(t *rapid.T) {
				m.second++
				m.report(t)
			},
		})
	})
}
