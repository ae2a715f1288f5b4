package fleet

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"rollcall/sim/applepki"
	"rollcall/sim/iphone"
)

func TestEach(t *testing.T) {
	pki, err := applepki.New()
	if err != nil {
		t.Fatal(err)
	}
	f, err := New(Config{N: 50, PKI: pki, Base: iphone.Config{Product: "iPad16,3"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	seen := map[string]bool{}
	for i, p := range f.Phones() {
		if seen[p.Serial()] || seen[p.UDID()] || p.Serial() != f.Serials()[i] || len(p.Serial()) != 12 {
			t.Errorf("phone %d: serial %s, UDID %s", i, p.Serial(), p.UDID())
		}
		seen[p.Serial()], seen[p.UDID()] = true, true
	}
	var running, most, calls atomic.Int32
	full := make(chan struct{})
	bad := errors.New("bad phone")
	err = f.Each(t.Context(), 4, func(_ context.Context, i int, _ *iphone.Phone) error {
		if n := running.Add(1); n == 4 && most.Swap(4) != 4 {
			close(full)
		} else if n > 4 {
			t.Errorf("%d at once", n)
		}
		<-full // nobody goes on before four run at once
		running.Add(-1)
		calls.Add(1)
		if i%2 == 1 {
			return bad
		}
		return nil
	})
	if calls.Load() != 50 || !errors.Is(err, bad) || !strings.Contains(err.Error(), "and 15 more") {
		t.Errorf("%d calls, %v", calls.Load(), err)
	}
}

func TestIMEIHasACheckDigit(t *testing.T) {
	for i, want := range map[int]string{564380: "356938035643809", 0: "356938030000005"} {
		if got := imei(i); got != want {
			t.Errorf("imei(%d) = %s, want %s", i, got, want)
		}
	}
}
