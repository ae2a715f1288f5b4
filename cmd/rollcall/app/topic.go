package app

import (
	"context"
	"sync"
	"time"

	"rollcall/enroll"
	"rollcall/mdm/apns"
)

// topicFresh is how long a topic is believed: each enrollment asks for it
// several times, and it changes only when every device is given up.
const topicFresh = 5 * time.Second

// topic is that of the installed push certificate; without one nobody can
// enroll, and the person at the phone is told so.
type topic struct {
	certificates *apns.Certificates
	now          func() time.Time

	mu    sync.Mutex
	value string
	until time.Time
}

func (t *topic) of(ctx context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if now.Before(t.until) {
		return t.value, nil
	}
	info, err := t.certificates.Info(ctx)
	if err != nil {
		return "", err
	}
	if !info.Installed {
		return "", enroll.Errorf(enroll.KindUnavailable, "push_certificate_missing", "this server has no MDM push certificate yet").
			WithHint("An admin installs one with PUT /api/v1/push-certificate.")
	}
	t.value, t.until = info.Topic, now.Add(topicFresh)
	return t.value, nil
}
