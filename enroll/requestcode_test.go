package enroll

import (
	"context"
	"strings"
	"testing"
	"time"
)

// oneRequest is a store with one request, and its code.
type oneRequest struct {
	RequestStore
	r    Request
	hash [32]byte
}

func (s *oneRequest) Request(context.Context, string) (Request, error) { return s.r, nil }

func (s *oneRequest) ChangeRequest(_ context.Context, _ string, change func(Request) (Request, error)) (Request, error) {
	r, err := change(s.r)
	if err == nil {
		s.r = r
	}
	return r, err
}

func (s *oneRequest) PutRequestCode(_ context.Context, _ string, hash [32]byte) error {
	s.hash = hash
	return nil
}

func (s *oneRequest) RequestByCode(_ context.Context, hash [32]byte, source string, _ int, _ time.Duration, _ time.Time) (string, bool, error) {
	if source == "guesser" {
		return "", true, nil
	}
	if hash != s.hash {
		return "", false, nil
	}
	return s.r.ID, false, nil
}

func TestCodes(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	store := &oneRequest{r: Request{ID: "r", State: RequestSent, ExpiresAt: now.Add(time.Hour)}}
	codes := NewCodes(NewRequests(store, nil, func() time.Time { return now }), store, []byte("key"))
	code, _, err := codes.New(t.Context(), "r")
	if err != nil || len(code) != codeLength+1 || code[5] != '-' || strings.ContainsAny(code, "ILOU") {
		t.Fatalf("%q, %v", code, err)
	}
	if store.hash == HashSecret(code) {
		t.Error("the hash has no key")
	}
	for _, wrong := range []string{"", "-", code[:10], code + "0"} {
		if _, err := codes.Redeem(t.Context(), wrong, "", OwnershipPersonal); KindOf(err) != KindNotFound {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	if _, err := codes.Redeem(t.Context(), code, "guesser", OwnershipPersonal); KindOf(err) != KindForbidden {
		t.Errorf("after too many tries: %v", err)
	}
	typed := strings.NewReplacer("0", "o", "1", "l", "-", " ").Replace(strings.ToLower(code))
	r, err := codes.Redeem(t.Context(), typed, "", OwnershipPersonal)
	if err != nil || r.State != RequestAccepted || r.Ownership != OwnershipPersonal || r.AcceptedAt.IsZero() {
		t.Errorf("%q: %+v, %v", typed, r, err)
	}
	before := code
	if code, _, err = codes.New(t.Context(), "r"); err != nil || code == before {
		t.Fatalf("%q, %v", code, err)
	}
	if _, err := codes.Redeem(t.Context(), before, "", ""); KindOf(err) != KindNotFound {
		t.Errorf("a code that was replaced: %v", err)
	}
	store.r.State, store.r.ClosedAt = RequestCompleted, now
	if _, err := codes.Redeem(t.Context(), code, "", ""); KindOf(err) != KindGone {
		t.Errorf("after the enrollment: %v", err)
	}
	if _, _, err := codes.New(t.Context(), "r"); KindOf(err) != KindConflict {
		t.Errorf("a code for a request that is over: %v", err)
	}
}

func TestOlderVersion(t *testing.T) {
	for _, c := range []struct {
		version, than string
		want          bool
	}{
		{"26.1", "26.2", true}, {"26.2", "26.1", false}, {"26", "26.0", false}, {"9.3.5", "17", true}, {"26.1 (a)", "26.2", true},
		{"", "26", false}, {"26", "", false}, {"x", "26", false}, {"26.1", "26.10", true},
	} {
		if got := OlderVersion(c.version, c.than); got != c.want {
			t.Errorf("%q older than %q: %v", c.version, c.than, got)
		}
	}
}

func TestAccountSerial(t *testing.T) {
	serial := NewAccountSerial()
	if err := CheckSerial(NormalizeSerial(serial)); err != nil || NormalizeSerial(serial) != serial || !IsAccountSerial(serial) || serial == NewAccountSerial() {
		t.Errorf("%q: %v", serial, err)
	}
	if IsAccountSerial("C39XK1ABCD01") {
		t.Error("a serial of Apple's")
	}
}
