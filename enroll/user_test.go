package enroll

import (
	"context"
	"testing"
)

// Domain knows every domain but "nowhere".
func (m *memory) Domain(_ context.Context, name string) (Domain, error) {
	if name == "nowhere" {
		return Domain{}, NoDomain(name)
	}
	return Domain{Name: name}, m.err
}

func TestPatchOfUnknownDomain(t *testing.T) {
	m := newMemory(Device{Serial: "AAA"})
	_, _, err := NewRoll(m, nil).Patch(t.Context(), "aaa", DeviceInput{User: &User{Domain: "nowhere", Email: "ann@example.com"}})
	if KindOf(err) != KindInvalid || m.writes != 0 {
		t.Errorf("%v, %d writes", err, m.writes)
	}
}
