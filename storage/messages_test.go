package storage

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"rollcall/enroll"
	"rollcall/storage/pgtest"
)

// TestMessageSecrets looks at the rows themselves: the secret of a link is
// sealed while its message waits, and gone afterwards.
func TestMessageSecrets(t *testing.T) {
	dsns := []string{"sqlite:" + filepath.Join(t.TempDir(), "rollcall.db")}
	if !pgtest.Skipped() {
		dsns = append(dsns, pgtest.Database(t, ""))
	}
	for _, dsn := range dsns {
		s := openTest(t, dsn)
		t.Run(s.Engine(), func(t *testing.T) {
			for _, outcome := range []enroll.MessageOutcome{enroll.MessageSent, enroll.MessageBounced, enroll.MessageRetry} {
				letter := waitingLetter(t, s, string(outcome))
				if stored := storedSecret(t, s, letter.ID); len(stored) == 0 || bytes.Contains(stored, []byte(letter.Secret)) {
					t.Errorf("while it waits: %q", stored)
				}
				if err := s.FinishMessage(t.Context(), enroll.MessageResult{Letter: letter, Outcome: outcome, At: now(), RetryAt: now().Add(time.Hour)}); err != nil {
					t.Fatal(err)
				}
				if stored := storedSecret(t, s, letter.ID); (stored == nil) != (outcome != enroll.MessageRetry) {
					t.Errorf("%s: %d bytes are left", outcome, len(stored))
				}
			}
		})
	}
}

// waitingLetter invites the user of a new device and claims the message.
func waitingLetter(t *testing.T, s *Store, serial string) enroll.Letter {
	t.Helper()
	d, _, err := s.ChangeDevice(t.Context(), serial, &enroll.User{Domain: "local", Email: "anna@example.com"}, func(_ *enroll.Device, user string) (enroll.Device, error) {
		return enroll.Device{ID: enroll.NewID(), UserID: user, State: enroll.StatePreEnrolled}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	secret, hash := enroll.NewSecret()
	r := enroll.Request{ID: enroll.NewID(), DeviceID: d.ID, UserID: d.UserID, Via: enroll.ViaEmail, State: enroll.RequestQueued, CreatedAt: now(), ExpiresAt: now().Add(time.Hour)}
	m := &enroll.Message{ID: enroll.NewID(), RequestID: r.ID, Kind: enroll.MessageInvitation, Via: enroll.ViaEmail, Secret: secret, CreatedAt: now(), DueAt: now()}
	if err := s.CreateRequests(t.Context(), []enroll.Invite{{Request: r, Link: enroll.Link{SecretHash: hash, Message: m}}}); err != nil {
		t.Fatal(err)
	}
	letters, err := s.ClaimMessages(t.Context(), enroll.ViaEmail, now(), time.Minute, 10)
	if err != nil || len(letters) != 1 || letters[0].Secret != secret {
		t.Fatalf("letters %+v, %v", letters, err)
	}
	return letters[0]
}

func storedSecret(t *testing.T, s *Store, id string) []byte {
	t.Helper()
	var sealed []byte
	if err := s.one(t.Context(), &sealed, `SELECT secret FROM messages WHERE id = ?`, id); err != nil {
		t.Fatal(err)
	}
	return sealed
}
