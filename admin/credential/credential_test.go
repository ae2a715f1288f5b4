package credential

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"rollcall/enroll"
)

// TestCodes has the SHA-1 vectors of RFC 6238, appendix B, of whose eight
// digits apps show the last six.
func TestCodes(t *testing.T) {
	k := Key("12345678901234567890")
	for seconds, want := range map[int64]string{59: "94287082", 1111111109: "07081804", 1111111111: "14050471", 1234567890: "89005924", 2000000000: "69279037", 20000000000: "65353130"} {
		if got := k.Code(Step(time.Unix(seconds, 0))); got != want[2:] {
			t.Errorf("at %d: %s, want %s", seconds, got, want[2:])
		}
	}
}

func TestVerifyCode(t *testing.T) {
	k, now := NewKey(), time.Unix(1_800_000_000, 0)
	present := Step(now)
	for _, test := range []struct {
		name string
		code string
		last int64
		ok   bool
	}{
		{"present", k.Code(present), 0, true},
		{"with a space", k.Code(present)[:3] + " " + k.Code(present)[3:], 0, true},
		{"the step before", k.Code(present - 1), 0, true},
		{"the step after", k.Code(present + 1), 0, true},
		{"two before", k.Code(present - 2), 0, false},
		{"two after", k.Code(present + 2), 0, false},
		{"used", k.Code(present), present, false},
		{"older than one that was used", k.Code(present - 1), present, false},
		{"empty", "", 0, false},
		{"another key's", NewKey().Code(present), 0, false},
	} {
		if step, ok := k.Verify(test.code, now, test.last); ok != test.ok || ok && k.Code(step) != strings.ReplaceAll(test.code, " ", "") {
			t.Errorf("%s: %d, %v", test.name, step, ok)
		}
	}
}

func TestKeyURL(t *testing.T) {
	got := Key("12345678901234567890").URL("Example & Sons", "ann@example.com")
	if want := "otpauth://totp/Example%20&%20Sons:ann@example.com?issuer=Example%20%26%20Sons&secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestRecoveryCodes(t *testing.T) {
	codes, hashes := NewRecoveryCodes()
	seen := map[string]bool{}
	for i, c := range codes {
		seen[c] = true
		if string(HashRecoveryCode(strings.ToUpper(strings.ReplaceAll(c, "-", " ")))) != string(hashes[i]) {
			t.Errorf("%s typed in another way is another code", c)
		}
	}
	if len(seen) != RecoveryCodes {
		t.Errorf("%d different codes", len(seen))
	}
}

func TestPassword(t *testing.T) {
	h, ctx := NewHasher(), t.Context()
	hash, err := h.Hash(ctx, "correct horse battery")
	if err != nil || strings.Contains(hash, "horse") {
		t.Fatal(hash, err)
	}
	if again, _ := h.Hash(ctx, "correct horse battery"); again == hash {
		t.Error("no salt")
	}
	weak := "$argon2id$v=19$m=64,t=1,p=1$" + strings.Split(hash, "$")[4] + "$" + strings.Split(hash, "$")[5]
	for _, test := range []struct {
		name, hash, password string
		ok, outdated         bool
	}{
		{"right", hash, "correct horse battery", true, false},
		{"wrong", hash, "correct horse battery!", false, false},
		{"empty", hash, "", false, false},
		{"no password", "", "correct horse battery", false, false},
		{"longer than any", hash, strings.Repeat("x", MaxPassword+1), false, false},
		{"other parameters", weak, "correct horse battery", false, true},
	} {
		if ok, outdated, err := h.Verify(ctx, test.hash, test.password); ok != test.ok || outdated != test.outdated || err != nil {
			t.Errorf("%s: %v, %v, %v", test.name, ok, outdated, err)
		}
	}
	for _, broken := range []string{"x", "$argon2i$v=19$m=64,t=1,p=1$AA$AA", "$argon2id$v=19$m=99999999,t=1,p=1$AA$AA", "$argon2id$v=19$m=64,t=0,p=1$AA$AA", "$argon2id$v=19$m=64,t=1,p=1$AA$AA"} {
		if _, _, err := h.Verify(ctx, broken, "x"); err == nil || strings.Contains(err.Error(), broken) {
			t.Errorf("%q: %v", broken, err)
		}
	}
}

// TestHasherIsBounded: where all places are taken, one waits no longer than
// the request does.
func TestHasherIsBounded(t *testing.T) {
	h := NewHasher()
	for range atOnce {
		h.places <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Hash(ctx, "x"); enroll.KindOf(err) != enroll.KindUnavailable {
		t.Error(err)
	}
	<-h.places
	if _, err := h.Hash(t.Context(), "x"); err != nil || len(h.places) != atOnce-1 {
		t.Errorf("%v, %d places are taken", err, len(h.places))
	}
}

func TestCheckPassword(t *testing.T) {
	for password, code := range map[string]string{
		"short": "password_short", "ümlautümlau": "password_short", "ümlautümlaut": "", "correct horse battery": "",
		strings.Repeat("x", 12): "password_weak", strings.Repeat("xy", 130): "password_long", "administrator1!": "password_weak", "Administrator-2026": "password_weak",
		"administrator@example.com": "password_weak",
	} {
		err := CheckPassword(password, "administrator@example.com")
		got := ""
		if known, ok := errors.AsType[*enroll.Error](err); ok {
			got = known.Code
		}
		if got != code {
			t.Errorf("%q: %q, want %q", password, got, code)
		}
	}
}
