package mdm

import (
	"context"
	"time"

	"rollcall/enroll"
	"rollcall/policy"
)

// Commander queues what admins ask of enrolled devices.
type Commander struct {
	Enrollments EnrollmentStore
	Queue       QueueStore
	Profiles    *Profiles
	Kick        func()
	Now         func() time.Time
}

// Actions that are not a RequestType of Apple's but made of one.
const (
	ActionDisenroll = "Disenroll" // RemoveProfile of the enrollment profile
	ActionRenew     = "Renew"     // InstallProfile of the enrollment profile with a new challenge
)

// Send queues a command of a RequestType with its request keys, or an action.
// It returns the CommandUUID.
func (c *Commander) Send(ctx context.Context, d enroll.Device, requestType string, keys map[string]any) (string, error) {
	e, err := c.enrollment(ctx, d)
	if err != nil {
		return "", err
	}
	var cmd Command
	switch requestType {
	case "":
		return "", bad("request_type_missing", "the command has no request_type")
	case ActionDisenroll:
		cmd, err = RemoveProfile(EnrollmentIdentifier)
		if err == nil {
			err = c.Enrollments.Disenrolling(ctx, e.ID, cmd.ID)
		}
	case ActionRenew:
		cmd, err = c.renewal(ctx, e, d)
	default:
		cmd, err = NewCommand(requestType, plain(keys).(map[string]any))
	}
	if err != nil {
		return "", err
	}
	return cmd.ID, c.enqueue(ctx, e, cmd)
}

// SendRaw queues a command given as a property list.
func (c *Commander) SendRaw(ctx context.Context, d enroll.Device, data []byte) (string, error) {
	e, err := c.enrollment(ctx, d)
	if err != nil {
		return "", err
	}
	cmd, err := RawCommand(data)
	if err != nil {
		return "", err
	}
	return cmd.ID, c.enqueue(ctx, e, cmd)
}

// Push wakes a device that may have nothing to do.
func (c *Commander) Push(ctx context.Context, d enroll.Device) error {
	e, err := c.enrollment(ctx, d)
	if err == nil {
		err = c.Queue.PushDue(ctx, e.ID, clock(c.Now))
	}
	if err == nil && c.Kick != nil {
		c.Kick()
	}
	return err
}

func (c *Commander) enrollment(ctx context.Context, d enroll.Device) (Enrollment, error) {
	if d.State != enroll.StateEnrolled || d.EnrollmentID == "" {
		return Enrollment{}, enroll.Errorf(enroll.KindConflict, "device_not_enrolled", "the device %s is not enrolled (it is %s)", d.Serial, d.Effective()).
			WithHint("Policies bound now reach it when it enrolls; commands need an enrolled device.")
	}
	return c.Enrollments.EnrollmentByID(ctx, d.EnrollmentID)
}

func (c *Commander) enqueue(ctx context.Context, e Enrollment, cmd Command) error {
	if err := c.Queue.Enqueue(ctx, e.ID, []Command{cmd}, clock(c.Now)); err != nil {
		return err
	}
	if c.Kick != nil {
		c.Kick()
	}
	return nil
}

func (c *Commander) renewal(ctx context.Context, e Enrollment, d enroll.Device) (Command, error) {
	profile, err := c.Profiles.Renewal(ctx, policy.RenewIdentity{EnrollmentID: e.ID, DecisionID: e.DecisionID, DeviceID: e.DeviceID, Serial: d.Serial, UDID: e.UDID})
	if err != nil {
		return Command{}, err
	}
	return InstallProfile(profile)
}
