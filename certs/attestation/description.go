package attestation

import (
	"encoding/asn1"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// Bounds of one KeyDescription.
const (
	maxDescription = 16 << 10
	maxTags        = 256
	maxIdentifier  = 128
)

// Tags of an AuthorizationList (Tag.aidl of KeyMint, without the type bits).
const (
	tagOrigin       = 702
	tagRootOfTrust  = 704
	tagOSVersion    = 705
	tagPatchLevel   = 706
	tagBrand        = 710
	tagDevice       = 711
	tagProduct      = 712
	tagSerial       = 713
	tagIMEI         = 714
	tagMEID         = 715
	tagManufacturer = 716
	tagModel        = 717
	tagSecondIMEI   = 723
)

// originGenerated: the key was made in the hardware and never was elsewhere.
const originGenerated = 0

// keyDescription is the extension's value. Elements that later versions add at
// the end are passed over.
type keyDescription struct {
	AttestationVersion int
	AttestationLevel   asn1.Enumerated
	KeymasterVersion   int
	KeymasterLevel     asn1.Enumerated
	Challenge          []byte
	UniqueID           []byte
	SoftwareEnforced   asn1.RawValue
	HardwareEnforced   asn1.RawValue
}

// description is what of a KeyDescription is used.
type description struct {
	attested  Attested
	level     SecurityLevel // of the attestation
	keyLevel  SecurityLevel // of the key
	challenge []byte
	generated bool
	booted    bool // there is a root of trust
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// parseDescription reads a KeyDescription of any version.
func parseDescription(der []byte) (description, error) {
	if len(der) > maxDescription {
		return description{}, malformed("a description of %d bytes", len(der))
	}
	var k keyDescription
	if rest, err := asn1.Unmarshal(der, &k); err != nil {
		return description{}, malformed("description: %v", err)
	} else if len(rest) > 0 {
		return description{}, malformed("%d bytes after the description", len(rest))
	}
	if k.AttestationVersion < 1 {
		return description{}, malformed("attestation version %d", k.AttestationVersion)
	}
	d := description{level: SecurityLevel(k.AttestationLevel), keyLevel: SecurityLevel(k.KeymasterLevel), challenge: k.Challenge}
	d.attested.Version, d.attested.SecurityLevel = k.AttestationVersion, d.level
	if !isSequence(k.SoftwareEnforced) || !isSequence(k.HardwareEnforced) {
		return description{}, malformed("an authorization list is no sequence")
	}
	return d, d.readList(k.HardwareEnforced.Bytes)
}

func isSequence(v asn1.RawValue) bool {
	return v.Class == asn1.ClassUniversal && v.Tag == asn1.TagSequence && v.IsCompound
}

// readList reads the list that the hardware enforces. Tags it does not know are
// passed over, whatever is in them: each version of KeyMint has new ones.
func (d *description) readList(list []byte) error {
	seen := map[int]bool{}
	for len(list) > 0 {
		var element asn1.RawValue
		rest, err := asn1.Unmarshal(list, &element)
		if err != nil {
			return malformed("authorization list: %v", err)
		}
		list = rest
		if element.Class != asn1.ClassContextSpecific || !element.IsCompound {
			return malformed("authorization list: an element without explicit tag")
		}
		// Of two values with one tag, readers differ in which one they take.
		if seen[element.Tag] || len(seen) == maxTags {
			return malformed("authorization list: tag %d again, or more than %d tags", element.Tag, maxTags)
		}
		seen[element.Tag] = true
		if err := d.readTag(element.Tag, element.Bytes); err != nil {
			return err
		}
	}
	return nil
}

func (d *description) readTag(tag int, value []byte) error {
	a := &d.attested
	var text *string
	switch tag {
	case tagOSVersion:
		return unmarshal(tag, value, &a.OSVersion)
	case tagPatchLevel:
		return unmarshal(tag, value, &a.PatchLevel)
	case tagOrigin:
		var origin int
		err := unmarshal(tag, value, &origin)
		d.generated = err == nil && origin == originGenerated
		return err
	case tagRootOfTrust:
		return d.readRootOfTrust(value)
	case tagSerial:
		text = &a.Serial
	case tagIMEI:
		text = &a.IMEI
	case tagSecondIMEI:
		text = &a.IMEI2
	case tagMEID:
		text = &a.MEID
	case tagBrand:
		text = &a.Brand
	case tagDevice:
		text = &a.Device
	case tagProduct:
		text = &a.Product
	case tagManufacturer:
		text = &a.Manufacturer
	case tagModel:
		text = &a.Model
	default:
		return nil
	}
	return readIdentifier(tag, value, text)
}

// unmarshal reads the one value inside an explicit tag.
func unmarshal(tag int, value []byte, into any) error {
	rest, err := asn1.Unmarshal(value, into)
	if err != nil {
		return malformed("tag %d: %v", tag, err)
	}
	if len(rest) > 0 {
		return malformed("tag %d: more than one value", tag)
	}
	return nil
}

func readIdentifier(tag int, value []byte, into *string) error {
	var b []byte
	if err := unmarshal(tag, value, &b); err != nil {
		return err
	}
	if len(b) > maxIdentifier || !utf8.Valid(b) {
		return malformed("tag %d: no text of at most %d bytes", tag, maxIdentifier)
	}
	for _, r := range string(b) {
		if !unicode.IsPrint(r) {
			return malformed("tag %d: a character that cannot be printed", tag)
		}
	}
	*into = string(b)
	return nil
}

// readRootOfTrust reads { verifiedBootKey, deviceLocked, verifiedBootState,
// verifiedBootHash (from version 3) }.
func (d *description) readRootOfTrust(value []byte) error {
	var root struct {
		BootKey []byte
		Locked  asn1.RawValue
		State   asn1.Enumerated
	}
	if err := unmarshal(tagRootOfTrust, value, &root); err != nil {
		return err
	}
	// encoding/asn1 wants TRUE to be 0xff, as DER does; not all hardware writes it so.
	if l := root.Locked; l.Class != asn1.ClassUniversal || l.Tag != asn1.TagBoolean || len(l.Bytes) != 1 {
		return malformed("tag %d: deviceLocked is no boolean", tagRootOfTrust)
	}
	if root.State < asn1.Enumerated(BootVerified) || root.State > asn1.Enumerated(BootFailed) {
		return malformed("tag %d: boot state %d", tagRootOfTrust, root.State)
	}
	d.booted = true
	d.attested.DeviceLocked, d.attested.BootState = root.Locked.Bytes[0] != 0, BootState(root.State)
	return nil
}
