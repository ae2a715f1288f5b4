package attestation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"sync"
	"time"
)

// StatusURL is where Google publishes the status of attestation certificates.
const StatusURL = "https://android.googleapis.com/attestation/status"

// Bounds of a revocation list, and of its age.
const (
	maxList    = 32 << 20
	maxEntries = 1_000_000
	maxSerial  = 64 // hexadecimal digits

	minRefresh = 10 * time.Minute
	maxRefresh = 24 * time.Hour
	maxStale   = 7 * 24 * time.Hour

	firstRetry = time.Minute
	fetchTime  = time.Minute
)

// Fetch gets a list: its JSON, and for how long it may be used without asking
// again (Cache-Control: max-age; 0 if not told). The caller closes body. This
// package knows no HTTP: who wires it brings the client.
type Fetch func(ctx context.Context) (body io.ReadCloser, maxAge time.Duration, err error)

// RevocationList is Google's list of attestation certificates that are revoked
// or suspended, kept in memory and refreshed by Run. It fails closed: a list
// that was never read, or not for a week, makes Check return ErrStatusUnknown.
// https://developer.android.com/privacy-and-security/security-key-attestation#certificate_status
type RevocationList struct {
	fetch Fetch
	now   func() time.Time

	mu     sync.RWMutex
	status map[string]string // by serial number, lower-case hexadecimal
	read   time.Time         // when; never is long ago
}

// NewRevocationList returns a list that has not been read yet.
func NewRevocationList(fetch Fetch, now func() time.Time) *RevocationList {
	return &RevocationList{fetch: fetch, now: now}
}

// Check implements Revocations.
func (l *RevocationList) Check(serials []*big.Int) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.now().Sub(l.read) > maxStale {
		return ErrStatusUnknown
	}
	for _, serial := range serials {
		if status, ok := l.status[serial.Text(16)]; ok {
			return fmt.Errorf("%w: %s is %s", ErrRevoked, serial.Text(16), status)
		}
	}
	return nil
}

// Refresh reads the list anew and returns for how long it is good. When that
// fails, the old list stays.
// The answer is between ten minutes and a day.
func (l *RevocationList) Refresh(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	body, maxAge, err := l.fetch(ctx)
	if err != nil {
		return 0, fmt.Errorf("attestation: revocation list: %w", err)
	}
	defer body.Close()
	status, err := parseList(body)
	if err != nil {
		return 0, fmt.Errorf("attestation: revocation list: %w", err)
	}
	l.mu.Lock()
	l.status, l.read = status, l.now()
	l.mu.Unlock()
	return min(max(maxAge, minRefresh), maxRefresh), nil
}

// Run keeps the list fresh until ctx ends.
func (l *RevocationList) Run(ctx context.Context, log *slog.Logger) {
	retry := firstRetry
	for {
		wait, err := l.Refresh(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			log.WarnContext(ctx, "the revocation list of attestations was not read", "error", err, "retry", retry)
			wait, retry = retry, min(2*retry, time.Hour)
		default:
			retry = firstRetry
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// parseList reads {"entries":{"<serial>":{"status":"REVOKED"|"SUSPENDED",...}}}.
// Every entry counts, whatever its status is called: the list holds those only
// that are not valid.
func parseList(r io.Reader) (map[string]string, error) {
	d := json.NewDecoder(io.LimitReader(r, maxList)) // what is longer ends in the middle
	if err := expect(d, json.Delim('{')); err != nil {
		return nil, err
	}
	var status map[string]string
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		if key != "entries" {
			var other json.RawMessage
			if err := d.Decode(&other); err != nil {
				return nil, err
			}
			continue
		}
		if status, err = parseEntries(d); err != nil {
			return nil, err
		}
	}
	if status == nil {
		return nil, errors.New("no entries")
	}
	return status, expect(d, json.Delim('}'))
}

func parseEntries(d *json.Decoder) (map[string]string, error) {
	if err := expect(d, json.Delim('{')); err != nil {
		return nil, err
	}
	status := map[string]string{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		name := fmt.Sprint(key)
		serial, ok := new(big.Int).SetString(name[:min(len(name), maxSerial+1)], 16)
		var entry struct {
			Status string `json:"status"`
		}
		if err := d.Decode(&entry); err != nil {
			return nil, err
		}
		if !ok || len(name) > maxSerial || len(status) == maxEntries {
			return nil, fmt.Errorf("a serial number that is none, or more than %d", maxEntries)
		}
		status[serial.Text(16)] = entry.Status
	}
	return status, expect(d, json.Delim('}'))
}

func expect(d *json.Decoder, want json.Delim) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	if token != want {
		return fmt.Errorf("%v where %v was expected", token, want)
	}
	return nil
}
