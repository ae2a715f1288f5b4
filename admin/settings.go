package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/enroll"
	"rollcall/mdm/apns"
)

type restrictionsView struct {
	PreEnrolledDevicesOnly enroll.Mode            `json:"pre_enrolled_devices_only" enum:"off,audit,enforce" doc:"off admits unknown devices, audit admits them and records what enforcing would have done, enforce refuses them."`
	UnlistedDevices        enroll.UnlistedDevices `json:"unlisted_devices" enum:"refuse,hold" doc:"What enforce does with devices that are not on the roll: refuse them, or hold them until they are approved."`
	OwnerMismatch          enroll.OwnerMismatch   `json:"owner_mismatch" enum:"ignore,warn,refuse" doc:"What becomes of a device that another user enrolls than the one its row belongs to. warn admits it and says so in the trace."`
	RequiredEvidence       enroll.Evidence        `json:"required_evidence" enum:"claimed,token,signed,attested" doc:"How well a device must prove its serial."`
	DevicesPerUser         int                    `json:"devices_per_user" doc:"How many devices a user may have enrolled; 0 for any number."`
	DecisionDays           int                    `json:"decision_days" doc:"For how many days decisions are kept."`
	UpdatedAt              time.Time              `json:"updated_at,omitzero"`
}

func viewRestrictions(s enroll.Settings) *body[restrictionsView] {
	return &body[restrictionsView]{restrictionsView{PreEnrolledDevicesOnly: s.PreEnrolledDevicesOnly, UnlistedDevices: s.UnlistedDevices, OwnerMismatch: s.OwnerMismatch,
		RequiredEvidence: s.RequiredEvidence, DevicesPerUser: s.DevicesPerUser, DecisionDays: s.DecisionDays, UpdatedAt: utc(s.UpdatedAt)}}
}

// restrictionsInput changes what it names.
type restrictionsInput struct {
	PreEnrolledDevicesOnly *enroll.Mode            `json:"pre_enrolled_devices_only,omitempty" enum:"off,audit,enforce"`
	UnlistedDevices        *enroll.UnlistedDevices `json:"unlisted_devices,omitempty" enum:"refuse,hold"`
	OwnerMismatch          *enroll.OwnerMismatch   `json:"owner_mismatch,omitempty" enum:"ignore,warn,refuse"`
	RequiredEvidence       *enroll.Evidence        `json:"required_evidence,omitempty" enum:"claimed,token,signed,attested"`
	DevicesPerUser         *int                    `json:"devices_per_user,omitempty" minimum:"0" maximum:"100000"`
	DecisionDays           *int                    `json:"decision_days,omitempty" minimum:"1" maximum:"3650"`
}

func (in restrictionsInput) applyTo(s *enroll.Settings) {
	setIfGiven(&s.PreEnrolledDevicesOnly, in.PreEnrolledDevicesOnly)
	setIfGiven(&s.UnlistedDevices, in.UnlistedDevices)
	setIfGiven(&s.OwnerMismatch, in.OwnerMismatch)
	setIfGiven(&s.RequiredEvidence, in.RequiredEvidence)
	setIfGiven(&s.DevicesPerUser, in.DevicesPerUser)
	setIfGiven(&s.DecisionDays, in.DecisionDays)
}

func setIfGiven[T any](field, given *T) {
	if given != nil {
		*field = *given
	}
}

func (r routes) settings() {
	a := r.a
	op := func(id, method, path, summary, description string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: "/settings/enrollment-restrictions" + path, Tags: []string{"Settings"}, Summary: summary, Description: description}
	}
	add(r, RoleViewer, op("get-enrollment-restrictions", http.MethodGet, "", "Read the enrollment restrictions", ""),
		func(ctx context.Context, _ *struct{}) (*body[restrictionsView], error) {
			s, err := a.Restrictions.Settings(ctx)
			return viewRestrictions(s), err
		})
	type putRestrictions struct {
		Body restrictionsInput
	}
	add(r, RoleAdmin, op("put-enrollment-restrictions", http.MethodPut, "", "Set the enrollment restrictions",
		"Fields that are left out stay as they are. Takes effect with the next device that arrives; enrolled devices are not touched. Settings that cannot work, alone or with the rules, are refused with the reason."),
		func(ctx context.Context, in *putRestrictions) (*body[restrictionsView], error) {
			s, err := a.Restrictions.ChangeSettings(ctx, in.Body.applyTo)
			if err != nil {
				return nil, err
			}
			return viewRestrictions(s), nil
		})
	r.forecast(op)
}

type pushCertificateView struct {
	Installed  bool      `json:"installed"`
	Topic      string    `json:"topic,omitempty" doc:"Topic of every enrollment. A renewal must keep it."`
	Subject    string    `json:"subject,omitempty"`
	NotBefore  time.Time `json:"not_before,omitzero"`
	NotAfter   time.Time `json:"not_after,omitzero" doc:"After this no device can be reached. Renew it with the same Apple Account before."`
	DaysLeft   int       `json:"days_left,omitempty" doc:"Negative when it has expired."`
	PendingCSR bool      `json:"pending_csr" doc:"A request was made and its certificate is not installed yet."`
}

func viewPushCertificate(i apns.Info) *body[pushCertificateView] {
	return &body[pushCertificateView]{pushCertificateView{Installed: i.Installed, Topic: i.Topic, Subject: i.Subject, NotBefore: utc(i.NotBefore), NotAfter: utc(i.NotAfter), DaysLeft: i.DaysLeft, PendingCSR: i.PendingCSR}}
}

func (r routes) pushCertificate() {
	a := r.a
	op := func(id, method, path, summary, description string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: "/push-certificate" + path, Tags: []string{"Settings"}, Summary: summary, Description: description}
	}
	add(r, RoleViewer, op("get-push-certificate", http.MethodGet, "", "Read the state of the push certificate", "Apple devices are woken with it."),
		func(ctx context.Context, _ *struct{}) (*body[pushCertificateView], error) {
			info, err := a.PushCertificates.Info(ctx)
			return viewPushCertificate(info), err
		})

	type createCSR struct {
		Body struct {
			Email string `json:"email" maxLength:"254" doc:"Goes into the request."`
		}
	}
	type csrView struct {
		CSR string `json:"csr_pem"`
	}
	add(r, RoleAdmin, op("create-push-csr", http.MethodPost, "/csr", "Make a certificate request", "Have it signed by an MDM vendor, and upload the signed request at identity.apple.com/pushcert. The key stays on the server."),
		func(ctx context.Context, in *createCSR) (*body[csrView], error) {
			csr, err := a.PushCertificates.CSR(ctx, in.Body.Email)
			return &body[csrView]{csrView{string(csr)}}, err
		})

	type putPushCertificate struct {
		Body struct {
			Certificate string `json:"certificate_pem" minLength:"1" doc:"As Apple gave it; further certificates of its chain may follow."`
			Key         string `json:"key_pem,omitempty" doc:"Only where the request was not made by this server."`
			Force       bool   `json:"force,omitempty" doc:"Take a certificate with another topic, although every enrolled device stops listening."`
		}
	}
	add(r, RoleAdmin, op("put-push-certificate", http.MethodPut, "", "Install the push certificate", "Refuses one with another topic than the current one, unless forced."),
		func(ctx context.Context, in *putPushCertificate) (*body[pushCertificateView], error) {
			info, err := a.PushCertificates.Install(ctx, []byte(in.Body.Certificate), []byte(in.Body.Key), in.Body.Force)
			if err != nil {
				return nil, err
			}
			a.kick()
			return viewPushCertificate(info), nil
		})
}
