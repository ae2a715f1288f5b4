package certs

import "testing"

func TestFingerprintsAreBoundedAndKeepTheBusy(t *testing.T) {
	const limit = 10
	f := newFingerprints(limit)
	busy := [32]byte{0xff}
	f.add(busy)
	for i := range 100 * limit {
		f.add([32]byte{byte(i), byte(i >> 8)})
		if !f.has(busy) {
			t.Fatalf("forgotten after %d others", i)
		}
		if n := len(f.young) + len(f.old); n > 2*limit {
			t.Fatalf("%d remembered", n)
		}
	}
	if f.has([32]byte{0, 0}) {
		t.Error("the first of a thousand is still there")
	}
}
