package enroll

import (
	"context"
	"log/slog"
	"time"
)

// evaluatePoll is how often the worker looks for rules that another server was
// told of.
const evaluatePoll = 5 * time.Second

// Evaluator is the worker that applies new and changed rules of groups to the
// devices that are there. Devices that change follow the rules by themselves.
type Evaluator struct {
	groups GroupStore
	moved  func() // called when members of groups may have become due
	log    *slog.Logger
	wake   chan struct{}
}

// NewEvaluator makes the worker; moved and log may be nil.
func NewEvaluator(groups GroupStore, moved func(), log *slog.Logger) *Evaluator {
	if moved == nil {
		moved = func() {}
	}
	if log == nil {
		log = slog.Default()
	}
	return &Evaluator{groups: groups, moved: moved, log: log, wake: make(chan struct{}, 1)}
}

// Kick makes the worker look for rules at once.
func (e *Evaluator) Kick() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// Run works until ctx ends.
func (e *Evaluator) Run(ctx context.Context) error {
	ticker := time.NewTicker(evaluatePoll)
	defer ticker.Stop()
	for {
		for {
			more, err := e.groups.EvaluateRules(ctx)
			if err != nil && ctx.Err() == nil {
				e.log.ErrorContext(ctx, "rules of groups not applied", "error", err)
			}
			if err != nil || !more {
				break
			}
			e.moved()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-e.wake:
		}
	}
}
