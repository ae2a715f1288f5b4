package androidpki

import (
	"encoding/asn1"
	"slices"
)

// Level is a SecurityLevel of KeyMint.
type Level int

// The levels of security.
const (
	Software  Level = 0
	TEE       Level = 1
	StrongBox Level = 2
)

// Tags of an authorization list (KeyMint's Tag.aidl without the type bits).
const (
	TagPurpose      = 1
	TagAlgorithm    = 2
	TagOrigin       = 702
	TagRootOfTrust  = 704
	TagOSVersion    = 705
	TagPatchLevel   = 706
	TagBrand        = 710
	TagDevice       = 711
	TagProduct      = 712
	TagSerial       = 713
	TagIMEI         = 714
	TagMEID         = 715
	TagManufacturer = 716
	TagModel        = 717
	TagSecondIMEI   = 723
	TagModuleHash   = 724
)

// Tag is one element of an authorization list: its number and the DER inside
// its explicit tag.
type Tag struct {
	Number int
	Value  []byte
}

// Int, Text and RootOfTrust make values of tags.
func Int(number int, value int64) Tag { return Tag{number, der(value)} }

// Text makes a tag with an OCTET STRING.
func Text(number int, value string) Tag { return Tag{number, der([]byte(value))} }

// RootOfTrust makes the tag of verified boot. state is 0 verified, 1 self-signed,
// 2 unverified, 3 failed.
func RootOfTrust(locked bool, state int) Tag {
	return Tag{TagRootOfTrust, der(struct {
		Key    []byte
		Locked bool
		State  asn1.Enumerated
		Hash   []byte
	}{make([]byte, 32), locked, asn1.Enumerated(state), make([]byte, 32)})}
}

// Statement is a KeyDescription.
type Statement struct {
	Version   int   // of the attestation; 300 is KeyMint 3
	Level     Level // of the attestation
	KeyLevel  Level // of the key
	Challenge []byte
	Software  []Tag // enforced by the operating system
	Hardware  []Tag
}

// Without returns a copy that lacks these tags in the hardware's list.
func (s Statement) Without(numbers ...int) Statement {
	s.Hardware = slices.DeleteFunc(slices.Clone(s.Hardware), func(t Tag) bool { return slices.Contains(numbers, t.Number) })
	return s
}

// With returns a copy with further tags in the hardware's list, in place of
// those that have the same numbers.
func (s Statement) With(tags ...Tag) Statement {
	for _, t := range tags {
		s = s.Without(t.Number)
		s.Hardware = append(s.Hardware, t)
	}
	slices.SortStableFunc(s.Hardware, func(a, b Tag) int { return a.Number - b.Number })
	return s
}

// DER is the extension's value.
func (s Statement) DER() []byte {
	return der(struct {
		Version    int
		Level      asn1.Enumerated
		KeyVersion int
		KeyLevel   asn1.Enumerated
		Challenge  []byte
		UniqueID   []byte
		Software   asn1.RawValue
		Hardware   asn1.RawValue
	}{s.Version, asn1.Enumerated(s.Level), s.Version, asn1.Enumerated(s.KeyLevel), s.Challenge, []byte{}, list(s.Software), list(s.Hardware)})
}

func list(tags []Tag) asn1.RawValue {
	var out []byte
	for _, t := range tags {
		out = append(out, der(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: t.Number, IsCompound: true, Bytes: t.Value})...)
	}
	return asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: out}
}

// der encodes what this package makes; that cannot fail.
func der(v any) []byte {
	b, err := asn1.Marshal(v)
	if err != nil {
		panic("androidpki: " + err.Error())
	}
	return b
}

// Device is what the secure hardware of a phone knows about it. What is empty
// it does not attest.
type Device struct {
	Serial, IMEI, IMEI2, MEID           string
	Brand, Product, Manufacturer, Model string
	StrongBox                           bool
	Unlocked                            bool // the boot loader, by its owner
	OSVersion                           int  // 140000
	PatchLevel                          int  // 202610
}

// Statement is what the device says about a key of its own that was made for
// challenge.
func (d Device) Statement(challenge []byte) Statement {
	level, state := TEE, 0
	if d.StrongBox {
		level = StrongBox
	}
	if d.Unlocked {
		state = 2
	}
	s := Statement{Version: 300, Level: level, KeyLevel: level, Challenge: challenge,
		// What an operating system may say about itself; nobody should believe it.
		Software: []Tag{Int(701, 1790000000000), Text(709, "org.example.agent")},
		Hardware: []Tag{
			{TagPurpose, der(asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: der(2)})},
			Int(TagAlgorithm, 3), Int(3, 256), Int(10, 1), {503, der(asn1.NullRawValue)},
			Int(TagOrigin, 0), RootOfTrust(!d.Unlocked, state),
		}}
	for _, n := range []struct {
		tag   int
		value int
	}{{TagOSVersion, d.OSVersion}, {TagPatchLevel, d.PatchLevel}} {
		if n.value != 0 {
			s.Hardware = append(s.Hardware, Int(n.tag, int64(n.value)))
		}
	}
	for _, id := range []struct {
		tag   int
		value string
	}{
		{TagBrand, d.Brand}, {TagProduct, d.Product}, {TagSerial, d.Serial}, {TagIMEI, d.IMEI}, {TagMEID, d.MEID},
		{TagManufacturer, d.Manufacturer}, {TagModel, d.Model}, {TagSecondIMEI, d.IMEI2},
	} {
		if id.value != "" {
			s.Hardware = append(s.Hardware, Text(id.tag, id.value))
		}
	}
	return s
}
