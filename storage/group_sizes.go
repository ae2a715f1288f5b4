package storage

import (
	"context"
	"sync"
	"time"
)

const (
	// exactMembers is how many members of a group are counted each time that
	// somebody asks.
	exactMembers = 10_000
	// sizeAge is how long the count of a larger group is good: half of a million
	// members take longer to count than a page may take.
	sizeAge = time.Minute
)

// groupSizes are the numbers of members of large groups, as they were counted
// last. Each server counts for itself.
type groupSizes struct {
	mu    sync.Mutex
	sizes map[string]countedGroup
}

type countedGroup struct {
	devices int
	at      time.Time
}

// of gives the members of a group of which some were counted: no more than
// exactMembers+1.
func (g *groupSizes) of(ctx context.Context, s *Store, groupID string, some int) (int, error) {
	if some <= exactMembers {
		return some, nil
	}
	g.mu.Lock()
	known, ok := g.sizes[groupID]
	g.mu.Unlock()
	if ok && time.Since(known.at) < sizeAge {
		return known.devices, nil
	}
	size := countedGroup{at: time.Now()}
	if err := s.one(ctx, &size.devices, `SELECT count(*) FROM memberships WHERE group_id = ?`, groupID); err != nil {
		return 0, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sizes == nil {
		g.sizes = map[string]countedGroup{}
	}
	g.sizes[groupID] = size
	return size.devices, nil
}
