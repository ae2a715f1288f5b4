package bench

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"rollcall/mdm"
	"rollcall/sim/iphone"
)

// acknowledgements measures how fast results are taken and the next commands
// handed out.
func (s *site) acknowledgements(ctx context.Context) error {
	return s.runs(partAcknowledge, func() (map[figure]float64, cost, error) {
		l, c, err := s.acknowledge(ctx)
		return map[figure]float64{ackRate: l.Rate, ackP50: l.P50, ackP95: l.P95}, c, err
	})
}

// acknowledge queues commands for each phone and lets all be done: an Idle
// before the clock starts brings the first, each result brings the next one.
func (s *site) acknowledge(ctx context.Context) (l load, c cost, err error) {
	idle, results, err := s.queue(ctx)
	if err != nil {
		return l, c, err
	}
	lines, err := s.lines(ctx, workers)
	if err != nil {
		return l, c, err
	}
	defer hangUp(lines)
	if _, err := together(lines, func(i int, l *line) ([]time.Duration, error) {
		for k := i; k < len(idle); k += workers {
			if err := expect(l, idle[k], true); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}); err != nil {
		return l, c, err
	}
	c, err = s.timed(func() (int, error) {
		start := time.Now()
		latencies, err := together(lines, func(i int, l *line) (out []time.Duration, err error) {
			for n := range s.scale.Commands {
				for k := i; k < len(results); k += workers {
					sent := time.Now()
					if err := expect(l, results[k][n], n+1 < s.scale.Commands); err != nil {
						return nil, err
					}
					out = append(out, time.Since(sent))
				}
			}
			return out, nil
		})
		l = loadOf(latencies, time.Since(start))
		return len(latencies), err
	})
	if err != nil {
		return l, c, err
	}
	return l, c, s.quiet(ctx, nil)
}

// expect sends a request and wants a command, or none.
func expect(l *line, w wire, command bool) error {
	status, body, err := l.do(w)
	if err == nil && (status != http.StatusOK || command != (len(body) > 0)) {
		err = fmt.Errorf("bench: a command was expected: %t; the answer was %d %.200s", command, status, body)
	}
	return err
}

// queue gives each phone its commands and signs what the phone will say to
// them.
func (s *site) queue(ctx context.Context) (idle []wire, results [][]wire, err error) {
	store, err := s.store(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer store.Close()
	if idle, err = s.idleRequests(); err != nil {
		return nil, nil, err
	}
	results = make([][]wire, len(s.phones))
	var group errgroup.Group
	group.SetLimit(runtime.NumCPU())
	for i, p := range s.phones {
		commands := make([]mdm.Command, s.scale.Commands)
		for n := range commands {
			if commands[n], err = mdm.NewCommand("ProfileList", map[string]any{"ManagedOnly": true}); err != nil {
				return nil, nil, err
			}
		}
		d, err := store.Device(ctx, p.Serial())
		if err != nil {
			return nil, nil, err
		}
		if err := store.Enqueue(ctx, d.EnrollmentID, commands, time.Now()); err != nil {
			return nil, nil, err
		}
		group.Go(func() (err error) {
			results[i], err = s.answers(p, commands)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	// The pushes for them are over before the clock starts.
	return idle, results, s.until(ctx, "pushes to be sent", func() (bool, error) {
		n, err := s.db.count(ctx, `SELECT count(*) FROM pushes WHERE due_at > 0`)
		return n == 0, err
	})
}

// answers signs what a phone says to ProfileList commands.
func (s *site) answers(p *iphone.Phone, commands []mdm.Command) ([]wire, error) {
	out := make([]wire, len(commands))
	for i, c := range commands {
		var err error
		out[i], err = s.signed(p, map[string]any{"UDID": p.UDID(), "Status": "Acknowledged", "CommandUUID": c.ID, "ProfileList": []any{}})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
