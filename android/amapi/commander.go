package amapi

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"rollcall/android"
	"rollcall/enroll"
	"rollcall/policy"
)

// CommandStore is what a Commander needs of the queue.
type CommandStore interface {
	EnqueueAMAPI(ctx context.Context, enrollmentID, commandID string, c Command, now time.Time) error // enroll.KindConflict when it has ended
	// RecordOf is the device of an enrollment; enroll.KindNotFound.
	RecordOf(ctx context.Context, enrollmentID string) (Record, error)
	PushDue(ctx context.Context, enrollmentID string, at time.Time) error
}

// Commander queues what admins ask of devices that Google manages.
type Commander struct {
	Store CommandStore
	Kick  func() // wakes the Connector
	Now   func() time.Time
}

func (c *Commander) now() time.Time {
	if c.Now == nil {
		return time.Now().UTC()
	}
	return c.Now().UTC()
}

// Send queues a command by its name, or android.ActionDisenroll. It returns the
// command's ID.
func (c *Commander) Send(ctx context.Context, d enroll.Device, name string, args map[string]any) (string, error) {
	r, err := c.Store.RecordOf(ctx, d.EnrollmentID)
	if err != nil {
		return "", err
	}
	cmd, err := NewCommand(name, args, r.Mode)
	if err != nil {
		return "", err
	}
	id := enroll.NewID()
	if err := c.Store.EnqueueAMAPI(ctx, d.EnrollmentID, id, cmd, c.now()); err != nil {
		return "", err
	}
	c.kick()
	return id, nil
}

// SendRaw refuses: a property list is Apple's.
func (c *Commander) SendRaw(context.Context, enroll.Device, []byte) (string, error) {
	return "", enroll.Errorf(enroll.KindInvalid, "command_invalid", "a property list is for Apple devices").WithHint("Send JSON with request_type and args.")
}

// Push looks for what is open for a device.
func (c *Commander) Push(ctx context.Context, d enroll.Device) error {
	if err := c.Store.PushDue(ctx, d.EnrollmentID, c.now()); err != nil {
		return err
	}
	c.kick()
	return nil
}

func (c *Commander) kick() {
	if c.Kick != nil {
		c.Kick()
	}
}

var _ policy.Encoder = Encoder{}

// Encoder writes the policy of a device as a command; the Connector carries it
// out.
type Encoder struct{}

// Encode implements policy.Encoder. The body is the policy as Google takes it.
func (Encoder) Encode(_ context.Context, _ string, s policy.Step) (requestType string, body []byte, err error) {
	if s, ok := s.(policy.SetPolicy); ok {
		body, err = json.Marshal(s.Policy)
		return TypeSetPolicy, body, err
	}
	return "", nil, fmt.Errorf("amapi: Google has no %T", s)
}

// Inventory implements policy.Encoder: devices report by themselves.
func (Encoder) Inventory(string, []byte) (map[string]bool, error) { return nil, nil }

// actionDisenroll is the name under which the management of a device is ended.
const actionDisenroll = android.ActionDisenroll
