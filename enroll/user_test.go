package enroll

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Domain knows every domain but "nowhere".
func (m *memory) Domain(_ context.Context, name string) (Domain, error) {
	if name == "nowhere" {
		return Domain{}, NoDomain(name)
	}
	return Domain{Name: name}, m.err
}

func TestMergeUser(t *testing.T) {
	old := User{ID: "1", Domain: "local", Email: "ann@example.com", Name: "Ann", Mobile: "+1", Language: "de"}
	given := User{ID: "2", Domain: "x", Email: "b@example.com", Name: "Anna", Language: "en"}
	if diff := cmp.Diff(old, MergeUser(UsersSkip, old, given)); diff != "" {
		t.Errorf("skip (-want +got):\n%s", diff)
	}
	want := User{ID: "1", Domain: "local", Email: "ann@example.com", Name: "Anna", Mobile: "+1", Language: "en"}
	if diff := cmp.Diff(want, MergeUser(UsersReplace, old, given)); diff != "" {
		t.Errorf("replace (-want +got):\n%s", diff)
	}
}

func TestPatchOfUnknownDomain(t *testing.T) {
	m := newMemory(Device{Serial: "AAA"})
	_, _, err := NewRoll(m, nil).Patch(t.Context(), "aaa", DeviceInput{User: &User{Domain: "nowhere", Email: "ann@example.com"}})
	if KindOf(err) != KindInvalid || m.writes != 0 {
		t.Errorf("%v, %d writes", err, m.writes)
	}
}
