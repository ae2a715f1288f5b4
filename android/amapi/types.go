package amapi

import (
	"encoding/json"
	"strings"
	"time"

	"rollcall/enroll"
)

// Values of the API.
const (
	PersonalAllowed    = "PERSONAL_USAGE_ALLOWED"
	PersonalDisallowed = "PERSONAL_USAGE_DISALLOWED"
	PersonalUserless   = "PERSONAL_USAGE_DISALLOWED_USERLESS"

	DeviceOwner  = "DEVICE_OWNER"
	ProfileOwner = "PROFILE_OWNER"

	CompanyOwned    = "COMPANY_OWNED"
	PersonallyOwned = "PERSONALLY_OWNED"

	stateActive  = "ACTIVE"
	stateDeleted = "DELETED"
)

// Enterprise is an organization at Google, as far as it is used here.
type Enterprise struct {
	Name                     string         `json:"name,omitempty"` // "enterprises/LC0"
	DisplayName              string         `json:"enterpriseDisplayName,omitempty"`
	PubsubTopic              string         `json:"pubsubTopic,omitempty"`
	EnabledNotificationTypes []string       `json:"enabledNotificationTypes,omitempty"`
	SigninDetails            []SigninDetail `json:"signinDetails,omitempty"`
}

// SigninDetail is a way into the organization that leads over our sign-in page.
type SigninDetail struct {
	SigninURL          string `json:"signinUrl,omitempty"`
	AllowPersonalUsage string `json:"allowPersonalUsage,omitempty"`
	TokenTag           string `json:"tokenTag,omitempty"`
	DefaultStatus      string `json:"defaultStatus,omitempty"`

	// Google makes these.
	SigninEnrollmentToken string `json:"signinEnrollmentToken,omitempty"`
	QRCode                string `json:"qrCode,omitempty"`
}

// SignupURL is where an administrator signs an organization up.
type SignupURL struct {
	Name string `json:"name"`
	URL  string `json:"url"`
}

// EnrollmentToken lets devices enroll.
type EnrollmentToken struct {
	Name                string `json:"name,omitempty"`
	Value               string `json:"value,omitempty"`
	QRCode              string `json:"qrCode,omitempty"`
	ExpirationTimestamp string `json:"expirationTimestamp,omitempty"`
	PolicyName          string `json:"policyName,omitempty"`
	Duration            string `json:"duration,omitempty"`
	AdditionalData      string `json:"additionalData,omitempty"`
	OneTimeOnly         bool   `json:"oneTimeOnly,omitempty"`
	AllowPersonalUsage  string `json:"allowPersonalUsage,omitempty"`
}

// ProvisioningInfo is what Google tells of a device that stands before our
// sign-in page. Identifiers are there for company-owned devices only.
type ProvisioningInfo struct {
	Enterprise             string `json:"enterprise"`
	ManagementMode         string `json:"managementMode"`
	Ownership              string `json:"ownership"`
	Brand                  string `json:"brand"`
	Model                  string `json:"model"`
	APILevel               int    `json:"apiLevel"`
	SerialNumber           string `json:"serialNumber"`
	IMEI                   string `json:"imei"`
	MEID                   string `json:"meid"`
	AuthenticatedUserEmail string `json:"authenticatedUserEmail"`
}

// Device is an enrolled device, as Google reports it.
type Device struct {
	Name                 string          `json:"name"`
	ManagementMode       string          `json:"managementMode"`
	Ownership            string          `json:"ownership"`
	State                string          `json:"state"`
	AppliedState         string          `json:"appliedState"`
	PolicyName           string          `json:"policyName"`
	AppliedPolicyName    string          `json:"appliedPolicyName"`
	AppliedPolicyVersion json.Number     `json:"appliedPolicyVersion"` // int64 as text
	NonCompliance        []NonCompliance `json:"nonComplianceDetails"`
	APILevel             int             `json:"apiLevel"`
	EnrollmentTime       time.Time       `json:"enrollmentTime"`
	EnrollmentTokenData  string          `json:"enrollmentTokenData"`
	EnrollmentTokenName  string          `json:"enrollmentTokenName"`
	LastStatusReportTime time.Time       `json:"lastStatusReportTime"`
	LastPolicySyncTime   time.Time       `json:"lastPolicySyncTime"`
	PreviousDeviceNames  []string        `json:"previousDeviceNames"`
	Hardware             struct {
		Brand                string `json:"brand"`
		Manufacturer         string `json:"manufacturer"`
		Model                string `json:"model"`
		SerialNumber         string `json:"serialNumber"`
		EnterpriseSpecificID string `json:"enterpriseSpecificId"`
	} `json:"hardwareInfo"`
	Software struct {
		AndroidVersion     string `json:"androidVersion"`
		BuildNumber        string `json:"androidBuildNumber"`
		SecurityPatchLevel string `json:"securityPatchLevel"`
	} `json:"softwareInfo"`
	Network struct {
		IMEI string `json:"imei"`
		MEID string `json:"meid"`
	} `json:"networkInfo"`
}

// NonCompliance is a setting of a policy that a device does not comply with.
type NonCompliance struct {
	SettingName    string `json:"settingName"`
	Reason         string `json:"nonComplianceReason"`
	SpecificReason string `json:"specificNonComplianceReason"`
	PackageName    string `json:"packageName"`
	FieldPath      string `json:"fieldPath"`
}

// Operation is a command that was issued.
type Operation struct {
	Name     string `json:"name"`
	Done     bool   `json:"done"`
	Metadata struct {
		Type       string    `json:"type"`
		CreateTime time.Time `json:"createTime"`
		ErrorCode  string    `json:"errorCode"`

		StartLostModeStatus struct {
			Status string `json:"status"`
		} `json:"startLostModeStatus"`
		StopLostModeStatus struct {
			Status string `json:"status"`
		} `json:"stopLostModeStatus"`
	} `json:"metadata"`
	Error *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// serial is the serial number; empty where what stands there is none.
func (d Device) serial() string {
	s := d.Hardware.SerialNumber
	if d.Ownership == PersonallyOwned && (s == d.Hardware.EnterpriseSpecificID || d.APILevel >= 31) {
		return "" // from Android 12 on it is the identifier for this organization
	}
	return trueSerial(s)
}

// trueSerial is the serial number that Google tells, unless it is a placeholder.
func trueSerial(s string) string {
	if enroll.PlaceholderSerial(enroll.NormalizeSerial(s)) {
		return ""
	}
	return s
}

// deviceOf is the device's part of the name of an operation.
func deviceOf(operation string) string {
	name, _, _ := strings.Cut(operation, "/operations/")
	return name
}
