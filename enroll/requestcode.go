package enroll

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"strings"
	"time"
)

// A code is what a person types where a link cannot be opened: in Setup
// Assistant, or while signing in to a device with their account. It has 50
// random bits in ten characters that are not mistaken for each other
// (Crockford's alphabet), which is few: so it is stored under a keyed hash, whose
// key is not in the database in the clear, and wrong ones are counted.
const (
	codeAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	codeLength   = 10
)

// CodeTries is how many wrong codes may come from one address within
// CodeWindow. A whole office may stand behind one address.
const (
	CodeTries  = 30
	CodeWindow = 15 * time.Minute
)

// CodeStore keeps the codes of requests.
type CodeStore interface {
	// PutRequestCode gives a request a code, instead of any it had.
	PutRequestCode(ctx context.Context, requestID string, hash [32]byte) error
	// RequestByCode finds the request of a code; empty: there is none, which
	// is counted as a failure of source. Where source has had tries failures
	// in its window already, nothing is looked up and tooMany is true. One
	// transaction, so that tries at the same time are counted each.
	RequestByCode(ctx context.Context, hash [32]byte, source string, tries int, window time.Duration, now time.Time) (requestID string, tooMany bool, err error)
}

// Codes makes and takes codes.
type Codes struct {
	requests *Requests
	store    CodeStore
	key      []byte
}

// NewCodes makes the service. key has 32 random bytes and is the same on every
// server.
func NewCodes(requests *Requests, store CodeStore, key []byte) *Codes {
	return &Codes{requests: requests, store: store, key: key}
}

// New makes a code for a request that can still be used, good until the
// request ends. It exists only here; an earlier one stops to work.
func (c *Codes) New(ctx context.Context, requestID string) (code string, r Request, err error) {
	if r, err = c.requests.Request(ctx, requestID); err != nil {
		return "", r, err
	}
	if err := r.sendable(c.requests.now()); err != nil {
		return "", r, err
	}
	var raw [codeLength]byte
	rand.Read(raw[:])
	for i := range raw {
		raw[i] = codeAlphabet[raw[i]%byte(len(codeAlphabet))] // 256 is a multiple of 32
	}
	code = string(raw[:codeLength/2]) + "-" + string(raw[codeLength/2:])
	return code, r, c.store.PutRequestCode(ctx, requestID, c.hash(code))
}

// Redeem finds the request of a code that a person typed at source (an
// address), and notes that they accept it. ownership is whose device it is by
// the way it enrolls, and only taken where the row leaves it open. A code is
// good until its request is used. Errors are for the person: KindNotFound,
// KindForbidden after too many wrong ones, KindGone.
func (c *Codes) Redeem(ctx context.Context, code, source string, ownership Ownership) (Request, error) {
	id, tooMany, err := c.store.RequestByCode(ctx, c.hash(code), source, CodeTries, CodeWindow, c.requests.now())
	switch {
	case err != nil:
		return Request{}, err
	case tooMany:
		return Request{}, Errorf(KindForbidden, "code_tries", "Too many wrong codes were typed here.").WithHint("Try again in %d minutes.", CodeWindow/time.Minute)
	case id == "":
		return Request{}, Errorf(KindNotFound, "code_unknown", "This code is not known.").WithHint("Compare it with the one you were given, or ask your administrator for a new one.")
	}
	return c.requests.ChangeRequest(ctx, id, func(r Request) (Request, error) {
		now := c.requests.now().UTC()
		if err := r.Usable(now); err != nil {
			return r, err
		}
		if r.OpenedAt.IsZero() {
			r.OpenedAt = now
		}
		if r.AcceptedAt.IsZero() {
			r.State, r.AcceptedAt = RequestAccepted, now
		}
		if r.Ownership == "" {
			r.Ownership = ownership
		}
		return r, nil
	})
}

func (c *Codes) hash(code string) (sum [32]byte) {
	mac := hmac.New(sha256.New, c.key)
	mac.Write([]byte(normalizeCode(code)))
	mac.Sum(sum[:0])
	return sum
}

// normalizeCode forgives what people do with codes: lower case, other or no
// separators, and letters that look like digits.
func normalizeCode(code string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == 'O':
			return '0'
		case r == 'I', r == 'L':
			return '1'
		case strings.ContainsRune(codeAlphabet, r):
			return r
		}
		return -1
	}, strings.ToUpper(code))
}
