package client

import "context"

// SettingsCommands are about the enrollment restrictions.
type SettingsCommands struct {
	Session
	Get settingsGet `cmd:"" help:"Show the enrollment restrictions."`
	Set settingsSet `cmd:"" help:"Change enrollment restrictions."`
}

const restrictionsPath = "/settings/enrollment-restrictions"

var settingsFields = columns("pre_enrolled_devices_only", "unlisted_devices", "owner_mismatch", "required_evidence", "devices_per_user", "decision_days", "updated_at")

// settings are those that set knows.
var settings = map[string]func(name, text string) (any, error){
	"pre_enrolled_devices_only": plainText, "unlisted_devices": plainText, "owner_mismatch": plainText, "required_evidence": plainText,
	"devices_per_user": wholeNumber, "decision_days": wholeNumber,
}

type settingsGet struct{}

// Run implements the command.
func (c *settingsGet) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, get(restrictionsPath, nil))
	if err != nil {
		return err
	}
	return s.show(raw, settingsFields)
}

type settingsSet struct {
	Fields []string `arg:"" help:"NAME=VALUE. pre_enrolled_devices_only=off|audit|enforce, unlisted_devices=refuse|hold, owner_mismatch=ignore|warn|refuse, required_evidence=claimed|token|signed|attested, devices_per_user=N (0: any number), decision_days=N."`
}

// Run implements the command.
func (c *settingsSet) Run(ctx context.Context, s *Session) error {
	body, err := assignments(c.Fields, settings)
	if err != nil {
		return err
	}
	for name, v := range body {
		if v == nil {
			return usage("", "%s has no value", name)
		}
	}
	raw, err := s.do(ctx, put(restrictionsPath, body))
	if err != nil {
		return err
	}
	return s.show(raw, settingsFields)
}
