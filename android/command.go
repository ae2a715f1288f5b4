package android

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"rollcall/enroll"
	"rollcall/policy"
)

// The types of commands.
const (
	typeSetPolicy     = "set_policy"
	typeInformation   = "device_information"
	typeInstallApp    = "install_app"
	typeRemoveApp     = "remove_app"
	typeLock          = "lock"
	typeResetPasscode = "reset_passcode"
	typeRing          = "ring"
	typeLocate        = "locate"
	typeReboot        = "reboot"
	TypeWipe          = "wipe"
	typeUnenroll      = "unenroll"
)

// ActionDisenroll is what the admin API calls unenroll, on every platform.
const ActionDisenroll = "Disenroll"

// kind is the form of a parameter.
type kind int

const (
	aText kind = iota
	aNumber
	aFlag
	needed // a text that must be there
)

// commandTypes are the commands an admin can send, with their parameters. The
// policy is the deliverer's.
var commandTypes = map[string]map[string]kind{
	typeInformation:   {},
	typeInstallApp:    {"package": needed, "url": needed, "sha256": needed},
	typeRemoveApp:     {"package": needed},
	typeLock:          {"message": aText, "phone": aText},
	typeResetPasscode: {"passcode": needed},
	typeRing:          {"seconds": aNumber},
	typeLocate:        {},
	typeReboot:        {},
	TypeWipe:          {"external_storage": aFlag, "esims": aFlag, "reason": aText},
	typeUnenroll:      {},
}

// NewCommand makes a command out of what an admin asked for. Unknown types and
// parameters are enroll.KindInvalid.
func NewCommand(requestType string, args map[string]any) (Command, error) {
	invalid := func(format string, args ...any) (Command, error) {
		return Command{}, enroll.Errorf(enroll.KindInvalid, "command_invalid", format, args...).WithHint("docs/android-agent.md lists the commands and their parameters.")
	}
	known, ok := commandTypes[requestType]
	if !ok {
		return invalid("there is no command %q for an Android agent; there are %s", requestType, strings.Join(slices.Sorted(maps.Keys(commandTypes)), ", "))
	}
	for _, name := range slices.Sorted(maps.Keys(args)) {
		form, ok := known[name]
		if !ok {
			return invalid("the command %s has no parameter %q", requestType, name)
		}
		value := args[name]
		switch form {
		case aFlag:
			_, ok = value.(bool)
		case aNumber:
			ok = isNumber(value)
		default:
			var s string
			s, ok = value.(string)
			ok = ok && len(s) <= 2048 && (form != needed || s != "")
		}
		if !ok {
			return invalid("the parameter %s of %s has a wrong value", name, requestType)
		}
	}
	for name, form := range known {
		if _, there := args[name]; form == needed && !there {
			return invalid("the command %s needs the parameter %s", requestType, name)
		}
	}
	if args == nil {
		args = map[string]any{}
	}
	body, err := json.Marshal(args)
	if err != nil {
		return invalid("the parameters of %s have no JSON form", requestType)
	}
	return Command{ID: enroll.NewID(), Type: requestType, Body: body}, nil
}

func isNumber(v any) bool {
	switch n := v.(type) {
	case float64:
		return n >= 0 && n <= 3600
	case int64:
		return n >= 0 && n <= 3600
	case int:
		return n >= 0 && n <= 3600
	}
	return false
}

// CommandStore is what a Commander needs of the queue.
type CommandStore interface {
	EnqueueAgent(ctx context.Context, enrollmentID string, c Command, now time.Time) error // enroll.KindConflict when it has ended
	Disenrolling(ctx context.Context, enrollmentID, commandID string) error
	PushDue(ctx context.Context, enrollmentID string, at time.Time) error
}

// Commander queues what admins ask of devices with an agent.
type Commander struct {
	Store CommandStore
	Kick  func() // wakes those who wait
	Now   func() time.Time
}

// Send queues a command of docs/android-agent.md, or Disenroll. It returns the
// command's ID.
func (c *Commander) Send(ctx context.Context, d enroll.Device, requestType string, args map[string]any) (string, error) {
	if requestType == ActionDisenroll {
		requestType = typeUnenroll
	}
	cmd, err := NewCommand(requestType, args)
	if err != nil {
		return "", err
	}
	if requestType == typeUnenroll {
		if err := c.Store.Disenrolling(ctx, d.EnrollmentID, cmd.ID); err != nil {
			return "", err
		}
	}
	if err := c.Store.EnqueueAgent(ctx, d.EnrollmentID, cmd, clock(c.Now)); err != nil {
		return "", err
	}
	c.kick()
	return cmd.ID, nil
}

// SendRaw refuses: a property list is Apple's.
func (c *Commander) SendRaw(context.Context, enroll.Device, []byte) (string, error) {
	return "", enroll.Errorf(enroll.KindInvalid, "command_invalid", "a property list is for Apple devices").WithHint("Send JSON with request_type and args.")
}

// Push wakes a device that may have nothing to do.
func (c *Commander) Push(ctx context.Context, d enroll.Device) error {
	if err := c.Store.PushDue(ctx, d.EnrollmentID, clock(c.Now)); err != nil {
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

// Encoder writes steps of a policy as commands of the protocol.
type Encoder struct{}

// Encode implements policy.Encoder.
func (Encoder) Encode(_ context.Context, _ string, s policy.Step) (requestType string, body []byte, err error) {
	switch s := s.(type) {
	case policy.QueryDevice:
		return typeInformation, []byte(`{}`), nil
	case policy.SetAgentPolicy:
		body, err = json.Marshal(map[string]any{"policy": s.Policy, "hash": s.Hash})
		return typeSetPolicy, body, err
	}
	return "", nil, fmt.Errorf("android: the protocol has no %T", s)
}

// Inventory implements policy.Encoder: an agent keeps to its policy by itself
// and is not asked.
func (Encoder) Inventory(string, []byte) (map[string]bool, error) { return nil, nil }
