package amapi

import (
	"net"
	"sync"
	"time"
)

const (
	strangersLife = time.Minute
	strangersKept = 4096 // of identifiers, and of addresses
	strangersMost = 10   // unknown identifiers from an address within strangersLife
)

// strangers remembers identifiers that Google does not know and the addresses
// they came from, so that making them up costs no calls. Devices that Google
// knows are not counted: many may be set up behind one address. The zero value
// is ready; safe for concurrent use.
type strangers struct {
	mu    sync.Mutex
	ids   map[string]time.Time // until when
	seen  map[string]int       // by address, since began
	began time.Time
}

// known says whether Google did not know an identifier a moment ago.
func (s *strangers) known(id string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Before(s.ids[id])
}

// wait is how long an address has to wait that came with too many.
func (s *strangers) wait(remote string, now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ends := s.began.Add(strangersLife); now.Before(ends) && s.seen[host(remote)] >= strangersMost {
		return ends.Sub(now)
	}
	return 0
}

// note keeps an identifier that Google does not know. What does not fit is not
// kept: the budget of the sign-in page bounds it still.
func (s *strangers) note(id, remote string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil || !now.Before(s.began.Add(strangersLife)) {
		s.ids, s.seen, s.began = map[string]time.Time{}, map[string]int{}, now
	}
	if len(s.ids) < strangersKept {
		s.ids[id] = now.Add(strangersLife)
	}
	if from := host(remote); len(s.seen) < strangersKept || s.seen[from] > 0 {
		s.seen[from]++
	}
}

// host is an address without its port; of IPv6 the network that a customer has.
func host(remote string) string {
	name, _, err := net.SplitHostPort(remote)
	if err != nil {
		name = remote
	}
	if ip := net.ParseIP(name); ip != nil && ip.To4() == nil {
		return ip.Mask(net.CIDRMask(64, 128)).String()
	}
	return name
}
