package certs

import "sync"

// fingerprints remembers certificates whose signature was found good. It holds
// at most two generations: when the young one is full it becomes the old one and
// the old one is forgotten, so that busy devices stay and memory stays bounded.
// It takes no note of time or revocation, which are checked every time.
type fingerprints struct {
	mu         sync.Mutex
	limit      int
	young, old map[[32]byte]struct{}
}

func newFingerprints(limit int) *fingerprints {
	return &fingerprints{limit: limit, young: make(map[[32]byte]struct{})}
}

func (f *fingerprints) has(fp [32]byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.young[fp]; ok {
		return true
	}
	if _, ok := f.old[fp]; ok {
		f.put(fp)
		return true
	}
	return false
}

func (f *fingerprints) add(fp [32]byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.put(fp)
}

func (f *fingerprints) put(fp [32]byte) {
	if len(f.young) >= f.limit {
		f.old, f.young = f.young, make(map[[32]byte]struct{})
	}
	f.young[fp] = struct{}{}
}
