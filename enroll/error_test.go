package enroll

import (
	"errors"
	"fmt"
	"testing"
)

func TestError(t *testing.T) {
	cause := errors.New("sql: connection refused")
	e := Errorf(KindConflict, "device_enrolled", "the device %s is enrolled", "S1")
	hinted := e.WithHint("Leave %s out.", "it")
	if e.Hint != "" || hinted.Hint != "Leave it out." || hinted.Text != e.Text || hinted.Code != e.Code || hinted.Kind != e.Kind {
		t.Errorf("%#v became %#v", e, hinted)
	}
	full := &Error{Kind: KindUnavailable, Text: "not now", Op: "enroll.X", Err: cause}
	for want, err := range map[string]error{"the device S1 is enrolled": e, "enroll.X: not now: sql: connection refused": full} {
		if err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
	}
	if !errors.Is(full, cause) {
		t.Error("the cause is lost")
	}
}

func TestKindOf(t *testing.T) {
	e := Errorf(KindGone, "x", "x")
	for _, c := range []struct {
		err  error
		want Kind
	}{
		{nil, ""}, {errors.New("x"), KindInternal}, {e, KindGone}, {fmt.Errorf("y: %w", e), KindGone},
		{&Error{Kind: KindUnavailable, Err: e}, KindUnavailable}, {errors.Join(errors.New("x"), e), KindGone}, {RowErrors{{}}, KindInternal},
	} {
		if got := KindOf(c.err); got != c.want {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
	}
}
