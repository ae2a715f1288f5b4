package account

import (
	"context"
	"testing"
	"time"

	"rollcall/enroll"
	"rollcall/mdm"
)

// one is a store with one token.
type one struct {
	AccessStore
	hash  [32]byte
	asked int
}

func (s *one) UseAccess(_ context.Context, hash [32]byte, account, enrollmentID string, _ time.Time) (bool, error) {
	s.asked++
	return hash == s.hash && account == "ann" && enrollmentID == "e", nil
}

func TestTokens(t *testing.T) {
	secret, hash := enroll.NewSecret()
	store := &one{hash: hash}
	tokens := Tokens{Store: store, SignInPage: "https://mdm.example.com/sign-in"}
	for _, c := range []struct {
		token, account string
		want           bool
	}{{secret, "ann", true}, {secret, "bob", false}, {"other", "ann", false}, {"", "ann", false}} {
		if got, err := tokens.Authorized(t.Context(), c.token, c.account, "e", time.Now()); got != c.want || err != nil {
			t.Errorf("%q for %s: %v, %v", c.token, c.account, got, err)
		}
	}
	if store.asked != 3 {
		t.Errorf("the store was asked %d times; a request without a token needs no look", store.asked)
	}
	// Apple's device reads exactly this.
	if got := tokens.SignIn(); got != `Bearer method="apple-as-web", url="https://mdm.example.com/sign-in"` {
		t.Errorf("WWW-Authenticate: %s", got)
	}
}

func TestModeFor(t *testing.T) {
	for ownership, want := range map[enroll.Ownership]string{enroll.OwnershipCorporate: mdm.ModeADDE, enroll.OwnershipPersonal: mdm.ModeBYOD,
		enroll.OwnershipSelectUser: mdm.ModeBYOD, "": mdm.ModeBYOD} {
		if got := modeFor(ownership).name; got != want {
			t.Errorf("%q enrolls as %s; want %s", ownership, got, want)
		}
	}
}
