package amapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"rollcall/enroll"
	"rollcall/policy/android"
)

// Types of notifications.
const (
	kindEnrollment = "ENROLLMENT"
	kindReport     = "STATUS_REPORT"
	kindCommand    = "COMMAND"
	kindTest       = "TEST" // in any case
)

// poison is a notification that can never be processed.
type poison string

func (p poison) Error() string { return string(p) }

// notifications processes a batch of what was received.
func (c *Connector) notifications(ctx context.Context, o Organization) (more bool) {
	batch, err := c.Store.ClaimNotifications(ctx, c.now(), lease, messageBatch)
	if err != nil {
		c.report(ctx, "notifications not read", err)
		return false
	}
	// Those of one device are taken one after the other, as they were published.
	slices.SortStableFunc(batch, func(a, b Message) int { return a.PublishedAt.Compare(b.PublishedAt) })
	of := map[string][]int{}
	for i, m := range batch {
		about := subject(m)
		of[about] = append(of[about], i)
	}
	done := make([]Finished, len(batch))
	var g errgroup.Group
	g.SetLimit(messageWorkers)
	for _, mine := range of {
		g.Go(func() error {
			for _, i := range mine {
				done[i] = c.finish(ctx, batch[i], c.process(ctx, o, batch[i]))
			}
			return nil
		})
	}
	_ = g.Wait() // the workers have no errors
	if len(done) > 0 {
		if err := c.Store.FinishNotifications(ctx, done); err != nil {
			c.report(ctx, "notifications not finished", err)
		}
		c.Due()
	}
	return len(batch) == messageBatch
}

// subject is the device that a notification is about; where it cannot be read,
// the notification itself.
func subject(m Message) string {
	var named struct {
		Name string `json:"name"`
	}
	if !readJSON(m.Data, &named) || named.Name == "" {
		return m.ID
	}
	return deviceOf(named.Name)
}

// finish words what became of a notification. A failure of ours is tried again.
func (c *Connector) finish(ctx context.Context, m Message, err error) Finished {
	f := Finished{ID: m.ID, State: MessageDone}
	var bad poison
	switch {
	case err == nil:
	case errors.As(err, &bad):
		f.State, f.Problem = MessagePoison, string(bad)
	case m.Attempts >= messageTries:
		f.State, f.Problem = MessagePoison, fmt.Sprintf("it failed %d times; the log says why", m.Attempts)
	default:
		c.failed(ctx, err)
		f.State, f.RetryAt = MessageNew, c.now().Add(retryAfter(err, min(time.Duration(1<<min(m.Attempts, 10))*time.Second, 10*time.Minute)))
	}
	if err != nil {
		c.report(ctx, "notification not processed", err)
	}
	return f
}

func (c *Connector) process(ctx context.Context, o Organization, m Message) error {
	switch kind := strings.ToUpper(m.Kind); kind {
	case kindTest:
		return nil
	case kindEnrollment, kindReport:
		d, err := readDevice(o, m.Data)
		if err != nil {
			return err
		}
		return c.device(ctx, o, d, m.PublishedAt)
	case kindCommand:
		var op Operation
		if !readJSON(m.Data, &op) {
			return poison("it is not the JSON of an operation")
		}
		if !strings.HasPrefix(op.Name, o.Name+"/devices/") {
			return poison("it is about another enterprise")
		}
		return c.operation(ctx, op)
	case "":
		return poison("it has no type")
	default:
		return nil // usage logs and the like, which nobody asked for
	}
}

func readJSON(data []byte, into any) bool {
	return json.NewDecoder(bytes.NewReader(data)).Decode(into) == nil
}

func readDevice(o Organization, data []byte) (Device, error) {
	var d Device
	if !readJSON(data, &d) {
		return d, poison("it is not the JSON of a device")
	}
	if id, ok := strings.CutPrefix(d.Name, o.Name+"/devices/"); !ok || id == "" || len(d.Name) > 255 || strings.Contains(id, "/") {
		return d, poison("it is about another enterprise")
	}
	return d, nil
}

// device takes in what Google tells of a device at a time. Whether it is called
// an enrollment or a report makes no difference: what is known here does.
func (c *Connector) device(ctx context.Context, o Organization, d Device, at time.Time) error {
	r, err := c.Store.Record(ctx, d.Name)
	known := err == nil
	if err != nil && enroll.KindOf(err) != enroll.KindNotFound {
		return err
	}
	if known && at.Before(r.EventAt) {
		return nil
	}
	deleted := d.State == stateDeleted || d.AppliedState == stateDeleted
	switch {
	case deleted && !known:
		return nil
	case deleted:
		r.State, r.EventAt = RecordGone, at
		_, err := c.Store.Keep(ctx, r)
		return err
	case known && r.State == RecordEnrolled:
		enrolled, _, err := c.Store.Observe(ctx, reportOf(d, at))
		if err != nil || enrolled {
			return err
		}
		// An admin ended the enrollment here alone. It does not come back by itself.
		r.Code, r.EventAt = "", at
		return c.hold(ctx, o, r)
	case known && r.State == RecordRemoved:
		return c.remove(ctx, r, "") // Google has not done it yet
	case known && r.State == RecordQuarantined:
		r.EventAt, r.ReportedAt = at, d.LastStatusReportTime
		_, err := c.Store.Keep(ctx, r)
		return err
	}
	return c.arrive(ctx, o, d, at)
}

// reportOf is what a report tells.
func reportOf(d Device, at time.Time) Report {
	version, _ := d.AppliedPolicyVersion.Int64() // 0 where none is applied
	r := Report{Name: d.Name, At: at, ReportedAt: d.LastStatusReportTime, Facts: d.facts(), Applied: d.AppliedPolicyName, AppliedVersion: version}
	for _, n := range d.NonCompliance {
		reason := n.Reason
		if n.SpecificReason != "" && n.SpecificReason != "SPECIFIC_NON_COMPLIANCE_REASON_UNSPECIFIED" {
			reason = n.SpecificReason
		}
		r.Complaints = append(r.Complaints, Complaint{Pointer: android.Pointer(n.SettingName, n.FieldPath), Setting: n.SettingName, Reason: reason, Package: n.PackageName})
		if len(r.Complaints) == maxComplaints {
			break
		}
	}
	return r
}

const maxComplaints = 200

// facts are those of the device in the roll's words.
func (d Device) facts() enroll.Facts {
	f := factsOf(modeOf(d.ManagementMode, d.Ownership), d.Network.IMEI, d.Network.MEID, d.Hardware.Model, d.Hardware.Brand, d.APILevel)
	f.OSVersion, f.BuildVersion = d.Software.AndroidVersion, d.Software.BuildNumber
	for name, value := range map[string]string{"manufacturer": d.Hardware.Manufacturer, "security_patch": d.Software.SecurityPatchLevel, "enterprise_specific_id": d.Hardware.EnterpriseSpecificID} {
		if value != "" {
			f.Extra[name] = value
		}
	}
	return f
}

// arrive decides about a device that has enrolled at Google and is not enrolled
// here.
func (c *Connector) arrive(ctx context.Context, o Organization, d Device, at time.Time) error {
	mode := modeOf(d.ManagementMode, d.Ownership)
	t, err := find(ctx, c.Store, d.EnrollmentTokenData)
	if err != nil {
		return err
	}
	if t != nil && t.Mode == Dedicated && mode == FullyManaged {
		mode = Dedicated
	}
	a := enroll.Attempt{At: c.now(), Channel: enroll.ChannelAMAPI, Platform: enroll.PlatformAndroid, Serial: d.serial(), Evidence: enroll.EvidenceSigned, Facts: d.facts()}
	r := Record{Name: d.Name, Serial: d.serial(), IMEI: d.Network.IMEI, Mode: mode, Model: d.Hardware.Model, EventAt: at, ReportedAt: d.LastStatusReportTime, Policy: d.PolicyName}
	decision, err := c.ask(ctx, o, d, mode, t, a)
	if err != nil {
		return err
	}
	r.Code, r.DecisionID, r.DeviceID = decision.Code, decision.ID, decision.DeviceID
	if decision.Serial != "" {
		r.Serial = decision.Serial
	}
	if !decision.Allowed() {
		return c.refuse(ctx, o, r)
	}
	admission := Admission{Record: r, Facts: a.Facts, At: at}
	if t != nil {
		admission.TokenID = t.ID
		if t.DecisionID != "" && decision.ID == "" {
			admission.Record.DecisionID = t.DecisionID
		}
	}
	admission.Record.State = RecordEnrolled
	_, err = c.Store.Admit(ctx, admission)
	if enroll.KindOf(err) == enroll.KindConflict {
		code, detail := enroll.DenyTokenUsedUp, "another device has enrolled with this token" // meanwhile
		if errors.Is(err, ErrReplaced) {
			code, detail = enroll.DenyIdentityConflict, "another device has enrolled for this row since"
		}
		if decision, err = c.Gate.Refuse(ctx, a, code, detail); err != nil {
			return err
		}
		r.Code, r.DecisionID, r.DeviceID = decision.Code, decision.ID, ""
		return c.refuse(ctx, o, r)
	}
	if err != nil {
		return err
	}
	if _, _, err := c.Store.Observe(ctx, reportOf(d, at)); err != nil {
		return err
	}
	return nil
}

// ask has the gate decide about a device with the token that it came with. What
// the sign-in page admitted only has to hold still: the decision it made stands,
// and comes back without a row of its own.
func (c *Connector) ask(ctx context.Context, o Organization, d Device, mode Mode, t *BoundToken, a enroll.Attempt) (enroll.Decision, error) {
	if t == nil {
		gate := o.Settings.of(mode).Gate
		if mode == PersonalProfile || gate == GateToken || gate == GateOff {
			return c.Gate.Refuse(ctx, a, enroll.DenyTokenUnknown, fmt.Sprintf("a device that enrolls as %s needs a token that is bound to its row", mode))
		}
		return decide(ctx, c.Store, c.Gate, a)
	}
	conflict := func(code enroll.Code, format string, args ...any) (enroll.Decision, error) {
		return c.Gate.Refuse(ctx, a, code, fmt.Sprintf(format, args...))
	}
	enrolled := d.EnrollmentTime // what was published may be processed late
	if enrolled.IsZero() {
		enrolled = a.At
	}
	switch {
	case o.Settings.of(t.Mode).Gate == GateOff:
		return conflict(enroll.DenyChannel, "devices do not enroll as %s any more", t.Mode)
	case t.State != TokenUsed && enrolled.After(t.ExpiresAt.Add(clockGap)):
		return conflict(enroll.DenyTokenExpired, "the token was good until %s", t.ExpiresAt.Format(time.RFC3339))
	case t.State == TokenUsed && t.UsedBy != d.Name:
		return conflict(enroll.DenyTokenUsedUp, "another device has enrolled with this token")
	case mode.usage() != t.Mode.usage() || (mode == PersonalProfile) != (t.Mode == PersonalProfile):
		return conflict(enroll.DenyTokenSerialMismatch, "the token is for %s; the device enrolled as %s", t.Mode, mode)
	case t.DecisionID != "" && t.Identified != a.Serial:
		return conflict(enroll.DenyIdentityConflict, "at the sign-in page the device had the serial number %q, now it has %q", t.Identified, a.Serial)
	case t.DecisionID != "" && t.IMEI != "" && a.Facts.IMEI != "" && t.IMEI != a.Facts.IMEI:
		return conflict(enroll.DenyIdentityConflict, "at the sign-in page the device had the IMEI %s, now it has %s", t.IMEI, a.Facts.IMEI)
	case t.DecisionID == "" && a.Serial != "" && enroll.NormalizeSerial(a.Serial) != t.Serial:
		return conflict(enroll.DenyTokenSerialMismatch, "the token is bound to %s, the device has the serial number %s", t.Serial, a.Serial)
	}
	if a.Serial == "" {
		a.Evidence = enroll.EvidenceToken // Google tells none of a personal device
	}
	a.Serial = t.Serial
	if t.DecisionID != "" {
		standing, err := c.Gate.Explain(ctx, a)
		if err != nil {
			return standing, err
		}
		if standing.Allowed() && standing.DeviceID == t.DeviceID {
			standing.ID, standing.DeviceID = t.DecisionID, t.DeviceID
			return standing, nil
		}
	}
	// A refusal is recorded with its reasons. A row that was put on the roll anew
	// since the sign-in page is the one with the serial number that Google tells.
	decision, err := c.Gate.Decide(ctx, a)
	if err == nil && decision.Allowed() && decision.DeviceID != t.DeviceID && t.DecisionID == "" {
		return conflict(enroll.DenyTokenSerialMismatch, "the row that the token is bound to is gone")
	}
	return decision, err
}

// refuse holds or removes a device that the gate refused.
func (c *Connector) refuse(ctx context.Context, o Organization, r Record) error {
	if r.Code.Outcome() == enroll.OutcomeError {
		return errors.New("amapi: the gate did not decide")
	}
	r.EnrollmentID = ""
	if r.Code.Outcome() == enroll.OutcomeDeny && o.Settings.of(r.Mode).Refused == Remove {
		return c.remove(ctx, r, r.Code.Reason().Person)
	}
	return c.hold(ctx, o, r)
}

// hold puts a device into quarantine.
func (c *Connector) hold(ctx context.Context, o Organization, r Record) error {
	client, err := c.Clouds.management(ctx, o)
	if err != nil {
		return err
	}
	r.State = RecordQuarantined
	if held := policyName(o.Name, quarantinePolicy); r.Policy != held {
		switch err := client.AssignPolicy(ctx, r.Name, held); {
		case CodeOf(err) == NotFound:
			r.State = RecordGone // meanwhile
		case err != nil && CodeOf(err) != Unchanged:
			return err
		}
		r.Policy = held
	}
	_, err = c.Store.Keep(ctx, r)
	return err
}

// remove makes Google forget a device and wipe it. The intent is kept first, and
// with it the clock of the device moves on: what Google tells of the time before
// does not bring it back.
func (c *Connector) remove(ctx context.Context, r Record, reason string) error {
	o, err := c.Store.Organization(ctx)
	if err != nil {
		return err
	}
	client, err := c.Clouds.management(ctx, o)
	if err != nil {
		return err
	}
	r.State = RecordRemoved
	if now := c.now(); now.After(r.EventAt) {
		r.EventAt = now
	}
	if _, err := c.Store.Keep(ctx, r); err != nil {
		return err
	}
	if r.Mode != PersonalProfile {
		reason = "" // shown on personal devices only
	}
	return client.DeleteDevice(ctx, r.Name, shortReason(reason))
}

// shortReason is what fits on a device: 200 characters.
func shortReason(s string) string {
	if runes := []rune(s); len(runes) > 200 {
		return string(runes[:199]) + "…"
	}
	return s
}

// recheck asks the gate again about devices in quarantine: their row may be on
// the roll by now, or an admin may have approved them.
func (c *Connector) recheck(ctx context.Context, o Organization) error {
	for after := ""; ; {
		held, err := c.Store.Records(ctx, RecordQuarantined, enroll.Page{Limit: 100, After: after})
		if err != nil || len(held) == 0 {
			return err
		}
		for _, r := range held {
			after = r.Name
			if err := c.Recheck(ctx, o, r); err != nil && CodeOf(err) != NotFound {
				return err
			}
		}
	}
}

// Recheck asks the gate about one device in quarantine. Only where the answer
// has turned is there another decision.
func (c *Connector) Recheck(ctx context.Context, o Organization, r Record) error {
	c.init()
	if rollless(r) {
		return nil
	}
	a := enroll.Attempt{At: c.now(), Channel: enroll.ChannelAMAPI, Platform: enroll.PlatformAndroid, Serial: r.Serial, Evidence: enroll.EvidenceSigned,
		Facts: factsOf(r.Mode, r.IMEI, "", r.Model, "", 0)}
	a, err := identify(ctx, c.Store, c.Gate, a)
	if err != nil {
		return err
	}
	d, err := c.Gate.Explain(ctx, a)
	if err != nil || !d.Allowed() {
		return err
	}
	if d, err = c.Gate.Decide(ctx, a); err != nil || !d.Allowed() {
		return err
	}
	r.Code, r.DecisionID, r.DeviceID, r.Serial, r.State = d.Code, d.ID, d.DeviceID, d.Serial, RecordEnrolled
	_, err = c.Store.Admit(ctx, Admission{Record: r, Facts: a.Facts, Held: true, At: c.now()})
	c.Due()
	return err
}

// RemoveDevice removes a device on an admin's word.
func (c *Connector) RemoveDevice(ctx context.Context, name, reason string) (Record, error) {
	c.init()
	r, err := c.Store.Record(ctx, name)
	if err != nil {
		return r, err
	}
	if err := c.remove(ctx, r, reason); err != nil {
		return r, err
	}
	return c.Store.Record(ctx, name)
}

// Approvable says whether an admin can admit a device, and else why not.
func Approvable(r Record) error {
	refuse := func(format string, args ...any) error {
		return enroll.Errorf(enroll.KindConflict, "amapi_not_approvable", format, args...).WithHint("Remove it; it can then be set up again.")
	}
	switch {
	case r.State != RecordQuarantined:
		return enroll.Errorf(enroll.KindConflict, "amapi_not_quarantined", "the device is not in quarantine; it is %s", r.State)
	case r.Serial == "" || enroll.PlaceholderSerial(enroll.NormalizeSerial(r.Serial)):
		return refuse("Google tells no serial number of the device")
	case rollless(r):
		return refuse("the device was refused for its token or its identity (%s), which the roll cannot mend", r.Code)
	case r.Code != enroll.DenyNotPreEnrolled && r.Code.Outcome() != enroll.OutcomeHold:
		return enroll.Errorf(enroll.KindConflict, "amapi_not_approvable", "the device is refused for more than not being on the roll: %s", r.Code).
			WithHint("Change what refuses it; the gate is asked again within a minute.")
	}
	return nil
}

// rollless says that a device was refused for something the roll has no part in.
func rollless(r Record) bool {
	return r.Mode == PersonalProfile || r.Code == "" || r.Code == enroll.DenyIdentityConflict || strings.HasPrefix(string(r.Code), "deny.token")
}
