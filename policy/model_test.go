package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// model is a server with one device: a queue and the delivered items as
// DeliveryStore promises them, and a device that carries out one command at a
// time. Requests and answers get lost, and the device and the planner go on
// between each other's steps.
type model struct {
	desired map[string]string // profile name -> content

	due       bool
	queue     []*modelCommand
	delivered map[string]*modelCommand // item key -> its last command
	planned   *Plan                    // made, not yet committed

	profiles  map[string]string // on the device: identifier -> content
	inFlight  *modelCommand     // on its way to the device, or being carried out
	executed  bool              // inFlight has been carried out; its answer is on its way
	result    CommandState
	handedOut []string // keys in the order of the first hand-out
}

type modelCommand struct {
	id       string
	planned  Planned
	state    CommandState
	attempts int
}

func (m *model) situation() []Delivered {
	var ds []Delivered
	for _, key := range slices.Sorted(maps.Keys(m.delivered)) {
		c := m.delivered[key]
		ds = append(ds, Delivered{Key: key, Hash: c.planned.Item.Hash, Removal: c.planned.Removal, CommandID: c.id, State: c.state, Attempts: c.attempts})
	}
	return ds
}

func (m *model) wanted() []Item {
	var items []Item
	for _, name := range slices.Sorted(maps.Keys(m.desired)) {
		items = append(items, installItem(name, m.desired[name]))
	}
	return items
}

// read is the first half of a delivery, commit the second.
func (m *model) read() {
	if m.due && m.planned == nil {
		m.due = false // a change from here on makes it due again
		plan := Diff(m.wanted(), m.situation(), time.Time{})
		m.planned = &plan
	}
}

func (m *model) commit() {
	if m.planned == nil {
		return
	}
	plan := *m.planned
	m.planned = nil
	for _, key := range plan.Forget {
		if c := m.delivered[key]; slices.Contains(plan.Cancel, c.id) && c.attempts > 0 {
			m.due = true // handed out meanwhile: the plan is stale
			return
		}
	}
	for _, c := range m.queue {
		if c.state.Open() && slices.Contains(plan.Cancel, c.id) {
			c.state = CommandCancelled
		}
	}
	for _, key := range plan.Forget {
		delete(m.delivered, key)
	}
	for _, p := range plan.Send {
		c := &modelCommand{id: fmt.Sprint("c", len(m.queue)), planned: p, state: CommandQueued}
		m.queue = append(m.queue, c)
		m.delivered[p.Item.Key] = c
	}
}

// connect hands out the first open command; after a lost answer it is the same
// one again.
func (m *model) connect() {
	if m.inFlight != nil {
		return
	}
	for _, c := range m.queue {
		if c.state.Open() {
			c.state = CommandSent
			c.attempts++
			m.inFlight, m.executed = c, false
			if c.attempts == 1 {
				m.handedOut = append(m.handedOut, c.planned.Item.Key)
			}
			return
		}
	}
}

// execute is the device carrying out what it was handed, cancelled or not.
func (m *model) execute(refuse bool) {
	if m.inFlight == nil || m.executed {
		return
	}
	m.executed, m.result = true, CommandAcknowledged
	switch s := m.inFlight.planned.Item.Step.(type) {
	case InstallProfile:
		if refuse {
			m.result = CommandFailed
			return
		}
		m.profiles[s.Identifier] = strings.TrimSuffix(m.inFlight.planned.Item.Hash, held)
	case RemoveProfile:
		if _, there := m.profiles[s.Identifier]; !there {
			m.result = CommandFailed
		}
		delete(m.profiles, s.Identifier)
	}
}

// answer tells the server the result, which counts for open commands only.
func (m *model) answer() {
	if m.inFlight != nil && m.executed {
		if m.inFlight.state.Open() {
			m.inFlight.state = m.result
		}
		m.inFlight = nil
	}
}

// lose breaks the connection, before or after the device carried it out.
func (m *model) lose() { m.inFlight = nil }

func (m *model) settle() {
	for range 10_000 {
		switch {
		case m.planned != nil:
			m.commit()
		case m.due:
			m.read()
		case m.inFlight != nil && m.executed:
			m.answer()
		case m.inFlight != nil:
			m.execute(false)
		default:
			m.connect()
			if m.inFlight == nil {
				return
			}
		}
	}
}

// TestDiffConverges changes the desired state at random while commands are
// planned, handed out, carried out, refused, lost and overtaken; once all is
// answered, the device has what it is to have.
func TestDiffConverges(t *testing.T) {
	names, contents := []string{"a", "b"}, []string{"1", "2", "3"}
	rapid.Check(t, func(t *rapid.T) {
		m := &model{desired: map[string]string{}, delivered: map[string]*modelCommand{}, profiles: map[string]string{}}
		run := func(f func()) func(*rapid.T) { return func(*rapid.T) { f() } }
		t.Repeat(map[string]func(*rapid.T){
			"want": func(t *rapid.T) {
				m.desired[rapid.SampledFrom(names).Draw(t, "profile")] = rapid.SampledFrom(contents).Draw(t, "content")
				m.due = true
			},
			"unwant": func(t *rapid.T) {
				delete(m.desired, rapid.SampledFrom(names).Draw(t, "profile"))
				m.due = true
			},
			"read":    run(m.read),
			"commit":  run(m.commit),
			"plan":    run(func() { m.read(); m.commit() }),
			"connect": run(m.connect),
			"execute": run(func() { m.execute(false) }),
			"refuse":  run(func() { m.execute(true) }),
			"answer":  run(m.answer),
			"lose":    run(m.lose),
			"": func(t *rapid.T) {
				open := map[string]int{}
				for _, c := range m.queue {
					if c.state.Open() {
						if open[c.planned.Item.Key]++; open[c.planned.Item.Key] > 1 {
							t.Fatalf("two open commands of %s", c.planned.Item.Key)
						}
						if m.delivered[c.planned.Item.Key] != c {
							t.Fatalf("an open command of %s is nobody's", c.planned.Item.Key)
						}
					}
				}
			},
		})
		m.settle()
		if err := m.check(names); err != nil {
			t.Fatal(err)
		}
	})
}

// check compares the device with its desired state once all is answered.
func (m *model) check(names []string) error {
	if plan := Diff(m.wanted(), m.situation(), time.Time{}); len(plan.Send)+len(plan.Cancel) > 0 {
		return fmt.Errorf("all is answered, and still there is something to do: %+v", plan)
	}
	for _, name := range names {
		got, there := m.profiles[IdentifierPrefix+name]
		last := m.delivered[installItem(name, "").Key]
		switch want, wanted := m.desired[name]; {
		case wanted && last == nil:
			return fmt.Errorf("%s is wanted and was never sent", name)
		case wanted && last.state == CommandFailed: // the receipt says so
		case wanted && got != want:
			return fmt.Errorf("%s is %q on the device, want %q", name, got, want)
		case !wanted && there:
			return fmt.Errorf("%s is unwanted and on the device (%q)", name, got)
		}
	}
	return nil
}

// TestOvertaken has the shortest ways in which a profile could stay on a device
// that nobody remembers.
func TestOvertaken(t *testing.T) {
	for name, script := range map[string]func(m *model, want func(content string)){
		"its second version never left the queue": func(m *model, want func(string)) {
			want("1")
			m.settle()
			want("2")
			m.read()
			m.commit()
			want("")
		},
		"its first version is being carried out, the second never left the queue": func(m *model, want func(string)) {
			want("1")
			m.read()
			m.commit()
			m.connect()
			want("2")
			m.read()
			m.commit()
			want("")
			m.read()
			m.commit()
			m.execute(false)
		},
		"handed out while its end was planned": func(m *model, want func(string)) {
			want("1")
			m.read()
			m.commit()
			want("")
			m.read()
			m.connect()
			m.commit()
			m.execute(false)
		},
		"handed out while its second version was planned": func(m *model, want func(string)) {
			want("1")
			m.read()
			m.commit()
			want("2")
			m.read()
			m.connect()
			m.commit()
			m.execute(false)
			want("")
		},
		"its removal was overtaken by its return, which never left the queue": func(m *model, want func(string)) {
			want("1")
			m.settle()
			want("")
			m.read()
			m.commit()
			want("1")
			m.read()
			m.commit()
			want("")
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := &model{desired: map[string]string{}, delivered: map[string]*modelCommand{}, profiles: map[string]string{}}
			script(m, func(content string) {
				m.due = true
				if m.desired["a"] = content; content == "" {
					delete(m.desired, "a")
				}
			})
			m.settle()
			if err := m.check([]string{"a"}); err != nil {
				t.Error(err)
			}
		})
	}
}
