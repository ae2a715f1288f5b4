package attestation_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/certs/attestation"
)

// server is Google's status page.
type server struct {
	mu     sync.Mutex
	body   string
	maxAge time.Duration
	err    error
	asked  int
}

func (s *server) set(body string, maxAge time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.body, s.maxAge, s.err = body, maxAge, nil
}

func (s *server) fetch(context.Context) (io.ReadCloser, time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	return io.NopCloser(strings.NewReader(s.body)), s.maxAge, s.err
}

func TestRevoked(t *testing.T) {
	key, box := newKey(), must(google().Remote(time.Time{}))
	chain := must(box.Attest(key.Public(), pixel().Statement(nonce)))
	for _, tt := range []struct {
		name, entries string
		want          error
	}{
		{"somebody else", `"abcdef12": {"status": "REVOKED"}`, nil},
		{"nobody", ``, nil},
		{"revoked", fmt.Sprintf(`"%s": {"status": "REVOKED", "reason": "KEY_COMPROMISE"}`, box.Serial().Text(16)), attestation.ErrRevoked},
		{"suspended", fmt.Sprintf(`"1f": {"status":"REVOKED"}, "%s": {"status": "SUSPENDED"}`, box.Serial().Text(16)), attestation.ErrRevoked},
		{"written otherwise", fmt.Sprintf(`"00%s": {"status": "REVOKED"}`, strings.ToUpper(box.Serial().Text(16))), attestation.ErrRevoked},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &server{body: `{"comment": [1, {"a": 2}], "entries": {` + tt.entries + `}}`}
			list := attestation.NewRevocationList(s.fetch, time.Now)
			v := verifier(t, time.Now(), list)
			if _, err := v.Verify(chain, nonce, key.Public()); !errors.Is(err, attestation.ErrStatusUnknown) {
				t.Errorf("before the list was read: %v", err)
			}
			if _, err := list.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := v.Verify(chain, nonce, key.Public()); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
}

func TestRevocationListOutlivesFaults(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	s := &server{body: `{"entries":{"2a":{"status":"REVOKED"}}}`, maxAge: time.Hour}
	list := attestation.NewRevocationList(s.fetch, func() time.Time { return now })
	if wait, err := list.Refresh(t.Context()); err != nil || wait != time.Hour {
		t.Fatalf("%v, %v", wait, err)
	}
	revoked := []*big.Int{big.NewInt(1), big.NewInt(0x2a)}
	s.err = errors.New("no network")
	for _, body := range []string{"", "{", "[]", "{}", `{"entries":[]}`, `{"entries":{"2a":{"status":"REVOKED"}`, `{"entries":{"no serial":{"status":"REVOKED"}}}`,
		`{"entries":{"` + strings.Repeat("a", 1000) + `":{"status":"REVOKED"}}}`, `{"entries":` + strings.Repeat("[", 20000)} {
		if _, err := list.Refresh(t.Context()); err == nil {
			t.Errorf("%.40q was taken for a list", body)
		}
		if err := list.Check(revoked); !errors.Is(err, attestation.ErrRevoked) {
			t.Errorf("after %.40q: %v", body, err)
		}
		s.body, s.err = body, nil
	}
	now = now.Add(7*24*time.Hour + time.Second)
	if err := list.Check(revoked[:1]); !errors.Is(err, attestation.ErrStatusUnknown) {
		t.Errorf("after a week: %v", err)
	}
}

func TestRevocationListRefreshesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		s := &server{err: errors.New("no network")}
		list := attestation.NewRevocationList(s.fetch, time.Now)
		go list.Run(ctx, slog.New(slog.DiscardHandler))
		after := func(d time.Duration, asked int) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.asked != asked {
				t.Errorf("asked %d times, want %d", s.asked, asked)
			}
		}
		after(0, 1)
		after(61*time.Second, 2) // one minute, then two
		after(60*time.Second, 2)
		s.set(`{"entries":{}}`, time.Second)
		after(60*time.Second, 3)
		if err := list.Check(nil); err != nil {
			t.Error(err)
		}
		after(9*time.Minute, 3) // not more often than every ten minutes
		s.set(`{"entries":{}}`, 30*24*time.Hour)
		after(2*time.Minute, 4)
		after(23*time.Hour, 4)
		after(time.Hour, 5) // and at least daily
	})
}
