package attestation

// Attested is what the secure hardware of a device says. Identifiers that it
// does not attest are empty; many devices attest none.
type Attested struct {
	Serial       string
	IMEI         string
	IMEI2        string
	MEID         string
	Brand        string
	Device       string // code name, such as "blueline"
	Product      string
	Manufacturer string
	Model        string

	// Version of the attestation: 2 to 4 Keymaster, 100 and up KeyMint.
	Version       int
	SecurityLevel SecurityLevel
	DeviceLocked  bool // the boot loader
	BootState     BootState
	OSVersion     int // 140000 is Android 14; 0 if not told
	PatchLevel    int // 202610; 0 if not told
	// Remote tells that the device fetched its attestation key (RKP), so that
	// Google can stop one device instead of a whole batch.
	Remote bool
}

// VerifiedBoot tells whether the boot loader is locked and the system is the
// manufacturer's. A device that boots another system with that system's key
// (BootSelfSigned) is locked, but Google and the manufacturer do not vouch for it.
func (a Attested) VerifiedBoot() bool { return a.DeviceLocked && a.BootState == BootVerified }

// SecurityLevel is where a key lives.
type SecurityLevel int

// The levels. Verify refuses LevelSoftware.
const (
	LevelSoftware  SecurityLevel = 0
	LevelTEE       SecurityLevel = 1
	LevelStrongBox SecurityLevel = 2
)

// String is the name in Google's documentation.
func (l SecurityLevel) String() string {
	switch l {
	case LevelSoftware:
		return "Software"
	case LevelTEE:
		return "TrustedEnvironment"
	case LevelStrongBox:
		return "StrongBox"
	}
	return "unknown"
}

// BootState is the result of verified boot.
type BootState int

// The states of verified boot, by the colours that AOSP gives them.
const (
	BootVerified   BootState = 0 // green: the manufacturer's system
	BootSelfSigned BootState = 1 // yellow: another system, signed with its own key
	BootUnverified BootState = 2 // orange: unlocked, anything
	BootFailed     BootState = 3 // red
)

// String is the name in Google's documentation.
func (b BootState) String() string {
	switch b {
	case BootVerified:
		return "Verified"
	case BootSelfSigned:
		return "SelfSigned"
	case BootUnverified:
		return "Unverified"
	case BootFailed:
		return "Failed"
	}
	return "unknown"
}
