package amapi

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"rollcall/enroll"
)

const (
	commandLife = 7 * 24 * time.Hour
	// wipeLife is how long Google keeps a wipe for a device that is off. Its
	// default of ten minutes would drop it without a word.
	wipeLife = 30 * 24 * time.Hour
)

// Command is a command for the queue of a device.
type Command struct {
	Type string
	Body []byte // Command resource of the API (JSON)
}

// spec says what a command is at Google.
type spec struct {
	google string
	modes  []Mode // nil: all
	why    string // it is not there in other modes
	args   []string
	build  func(a *arguments, m Mode, body map[string]any) error
}

var company = []Mode{FullyManaged, Dedicated, CompanyProfile}

// specs are the commands, by their names in the admin API.
var specs = map[string]spec{
	"lock": {google: "LOCK"},
	"reboot": {google: "REBOOT", modes: []Mode{FullyManaged, Dedicated},
		why: "only a fully managed device can be started anew"},
	"reset_passcode": {google: "RESET_PASSWORD", args: []string{"passcode", "require_entry", "lock_now"}, build: func(a *arguments, _ Mode, body map[string]any) error {
		if s, ok := a.text("passcode"); ok {
			body["newPassword"] = s
		}
		var flags []string
		if a.flag("require_entry") {
			flags = append(flags, "REQUIRE_ENTRY")
		}
		if a.flag("lock_now") {
			flags = append(flags, "LOCK_NOW")
		}
		if flags != nil {
			body["resetPasswordFlags"] = flags
		}
		return nil
	}},
	"start_lost_mode": {google: "START_LOST_MODE", modes: company, why: "only a company-owned device can be in lost mode",
		args: []string{"message", "phone", "email", "address", "organization"}, build: func(a *arguments, _ Mode, body map[string]any) error {
			params := map[string]any{}
			for arg, field := range map[string]string{"message": "lostMessage", "phone": "lostPhoneNumber", "address": "lostStreetAddress", "organization": "lostOrganization"} {
				if s, ok := a.text(arg); ok {
					params[field] = map[string]any{"defaultMessage": s}
				}
			}
			if s, ok := a.text("email"); ok {
				params["lostEmailAddress"] = s
			}
			shown := len(params)
			if params["lostOrganization"] != nil {
				shown--
			}
			if shown == 0 {
				return enroll.Errorf(enroll.KindInvalid, "command_args", "lost mode needs a message, phone, email or address to show")
			}
			body["startLostModeParams"] = params
			return nil
		}},
	"stop_lost_mode": {google: "STOP_LOST_MODE", modes: company, why: "only a company-owned device can be in lost mode", build: func(_ *arguments, _ Mode, body map[string]any) error {
		body["stopLostModeParams"] = map[string]any{}
		return nil
	}},
	"relinquish_ownership": {google: "RELINQUISH_OWNERSHIP", modes: []Mode{CompanyProfile}, why: "only a company-owned device with a work profile can be given to its user"},
	"clear_app_data": {google: "CLEAR_APP_DATA", args: []string{"packages"}, build: func(a *arguments, _ Mode, body map[string]any) error {
		list := a.texts("packages")
		if len(list) == 0 {
			return enroll.Errorf(enroll.KindInvalid, "command_args", "packages has to name apps")
		}
		body["clearAppsDataParams"] = map[string]any{"packageNames": list}
		return nil
	}},
	TypeWipe: {google: "WIPE", args: []string{"external_storage", "esims", "keep_reset_protection", "reason"}, build: func(a *arguments, m Mode, body map[string]any) error {
		params := map[string]any{} // Google refuses a wipe without
		var flags []string
		for _, f := range []struct{ arg, flag string }{{"keep_reset_protection", "PRESERVE_RESET_PROTECTION_DATA"}, {"external_storage", "WIPE_EXTERNAL_STORAGE"}, {"esims", "WIPE_ESIMS"}} {
			if a.flag(f.arg) {
				flags = append(flags, f.flag)
			}
		}
		if flags != nil {
			params["wipeDataFlags"] = flags
		}
		if reason, ok := a.text("reason"); ok {
			if m != PersonalProfile {
				return enroll.Errorf(enroll.KindInvalid, "command_args", "a reason is shown on personal devices only")
			}
			params["wipeReason"] = map[string]any{"defaultMessage": reason}
		}
		body["wipeParams"] = params
		return nil
	}},
}

// NewCommand makes a command of a name with its arguments, for a device of a
// mode. What the mode does not have is enroll.KindConflict, with the reason.
func NewCommand(name string, args map[string]any, m Mode) (Command, error) {
	if name == actionDisenroll {
		if m != PersonalProfile {
			return Command{}, enroll.Errorf(enroll.KindConflict, "disenroll_wipes", "Android ends the management of a company-owned device only by wiping it").
				WithHint("Send the command wipe; a device with a work profile can also be given to its user: relinquish_ownership.")
		}
		name = TypeWipe // of a personal device, the work profile only
	}
	s, ok := specs[name]
	if !ok {
		var names []string
		for n := range specs {
			names = append(names, n)
		}
		slices.Sort(names)
		return Command{}, enroll.Errorf(enroll.KindInvalid, "command_unknown", "Google has no command %q", name).WithHint("Use one of %s.", strings.Join(names, ", "))
	}
	if s.modes != nil && !slices.Contains(s.modes, m) {
		return Command{}, enroll.Errorf(enroll.KindConflict, "command_mode", "%s is not possible here: %s", name, s.why)
	}
	a := &arguments{values: args}
	for arg := range args {
		if !slices.Contains(s.args, arg) {
			return Command{}, enroll.Errorf(enroll.KindInvalid, "command_args", "%s has no argument %q", name, arg)
		}
	}
	life := commandLife
	if name == TypeWipe {
		life = wipeLife
	}
	body := map[string]any{"type": s.google, "duration": fmt.Sprintf("%ds", int64(life/time.Second))}
	if s.build != nil {
		if err := s.build(a, m, body); err != nil {
			return Command{}, err
		}
	}
	if a.wrong != "" {
		return Command{}, enroll.Errorf(enroll.KindInvalid, "command_args", "the argument %s of %s has the wrong type", a.wrong, name)
	}
	b, err := json.Marshal(body)
	return Command{Type: name, Body: b}, err
}

// arguments reads the arguments of a command and remembers one of a wrong type.
type arguments struct {
	values map[string]any
	wrong  string
}

func (a *arguments) text(name string) (string, bool) {
	v, there := a.values[name]
	if !there || v == nil {
		return "", false
	}
	s, ok := v.(string)
	if !ok || len(s) > 1000 {
		a.wrong = name
	}
	return s, ok && s != ""
}

func (a *arguments) flag(name string) bool {
	v, there := a.values[name]
	b, ok := v.(bool)
	if there && !ok {
		a.wrong = name
	}
	return b
}

func (a *arguments) texts(name string) []string {
	list, ok := a.values[name].([]any)
	var out []string
	for _, v := range list {
		s, text := v.(string)
		if !text || s == "" {
			a.wrong = name
		}
		out = append(out, s)
	}
	if _, there := a.values[name]; there && !ok {
		a.wrong = name
	}
	return out
}
