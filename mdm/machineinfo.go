package mdm

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"time"

	"rollcall/certs/cms"
	"rollcall/certs/deviceca"
	"rollcall/enroll"
	"rollcall/mdm/plist"
)

// MachineInfo is what a device tells of itself before it is enrolled, signed:
// the attributes of the OTA Profile Service and the machine info of Automated
// Device Enrollment (Apple: MachineInfo). In account-driven enrollment only
// LANGUAGE, PRODUCT and VERSION are there. Absent keys are empty.
type MachineInfo struct {
	UDID             string
	Serial           string `plist:"SERIAL"`
	Product          string `plist:"PRODUCT"` // "iPhone17,2"
	Build            string `plist:"VERSION"`
	OSVersion        string `plist:"OS_VERSION"` // iOS 17 and later
	IMEI             string
	MEID             string
	Language         string `plist:"LANGUAGE"`
	Challenge        string `plist:"CHALLENGE"`                       // of the Profile Service
	CanRequestUpdate bool   `plist:"MDM_CAN_REQUEST_SOFTWARE_UPDATE"` // iOS 17 and later
}

// ReadMachineInfo opens signed machine info. signer is nil where a device
// identity of a trusted device CA signed it, and else the certificate of whom
// did: then nothing in info is proven yet. A body that is not signed, whose
// signature does not fit, or that holds no property list is KindInvalid.
func ReadMachineInfo(devices *deviceca.Verifier, body []byte) (info MachineInfo, signer *x509.Certificate, err error) {
	content, _, err := devices.Verify(body)
	if errors.Is(err, deviceca.ErrUntrustedSigner) {
		signed, perr := cms.ParseSigned(body)
		if perr != nil {
			return info, nil, badIdentity(perr)
		}
		if signer, perr = signed.Verify(); perr != nil {
			return info, nil, badIdentity(perr)
		}
		content = signed.Content
	} else if err != nil {
		return info, nil, badIdentity(err)
	}
	if err := plist.Decode(content, &info); err != nil {
		return info, nil, bad("plist_invalid", "the attributes are not a property list that can be read: %v", err)
	}
	for _, v := range []string{info.UDID, info.Serial, info.Product, info.Build, info.OSVersion, info.IMEI, info.MEID} {
		if len(v) > maxIdentifier {
			return info, nil, bad("identifier_too_long", "an identifier is longer than %d bytes", maxIdentifier)
		}
	}
	return info, signer, nil
}

// Attempt is the arrival of the device that signed this.
func (m MachineInfo) Attempt(channel enroll.Channel, at time.Time, remote string) enroll.Attempt {
	return enroll.Attempt{At: at, Channel: channel, Platform: PlatformOf(m.Product), Serial: m.Serial, Evidence: enroll.EvidenceSigned, RemoteAddr: remote,
		Facts: enroll.Facts{UDID: m.UDID, Product: m.Product, OSVersion: m.OSVersion, BuildVersion: m.Build, IMEI: m.IMEI, MEID: m.MEID}}
}

// RefuseUnproven records that the attributes an attempt was made of are signed
// by nobody who could know.
func RefuseUnproven(ctx context.Context, gate Gate, a enroll.Attempt, detail string) (enroll.Decision, error) {
	a.Evidence, a.RequestSecret = enroll.EvidenceClaimed, ""
	return gate.Refuse(ctx, a, enroll.DenyEvidenceTooWeak, detail)
}

// WriteRefusal tells a device that asked for a profile what the gate decided:
// 403 with the sentence for the person.
func WriteRefusal(w http.ResponseWriter, d enroll.Decision) {
	http.Error(w, d.Code.Reason().Person, http.StatusForbidden)
}
