package importer

import (
	"strings"
	"unicode"
)

// The fields that a column can be mapped to: those of the sample file first,
// in its order.
const (
	FieldName       = "name"
	FieldEmail      = "email"
	FieldMobile     = "mobile"
	FieldOwnership  = "ownership"
	FieldDeviceName = "devicename"
	FieldSerial     = "SerialNumber"
	FieldPlatform   = "platform"

	FieldGroup     = "group"
	FieldTags      = "tags"
	FieldAssetTag  = "asset_tag"
	FieldIMEI      = "imei"
	FieldIMEI2     = "imei2"
	FieldUDID      = "udid"
	FieldModel     = "model"
	FieldNotBefore = "not_before"
	FieldExpiresAt = "expires_at"
	FieldUses      = "uses"
	FieldPolicy    = "policy"
	FieldNotes     = "notes"

	// FieldFirstName and FieldLastName make up a name where there is none.
	FieldFirstName = "first_name"
	FieldLastName  = "last_name"
	// FieldIdentifier is a serial in lists that may as well hold an IMEI or a
	// UDID, which the roll cannot be kept by.
	FieldIdentifier = "identifier"
	// FieldNone leaves a column out.
	FieldNone = "-"
)

// Columns is the header of the sample file.
var Columns = []string{FieldName, FieldEmail, FieldMobile, FieldOwnership, FieldDeviceName, FieldSerial, FieldPlatform}

// ours are the columns that errors.csv adds.
var ours = []string{"line", "error"}

// field says how a field is filled.
type field struct {
	name     string
	set      func(*line, string) error
	many     bool // | separates several values, and several columns may name it
	keep     bool // CLEAR! is refused: a row without it makes no sense
	synonyms []string
}

// fields are all fields with the headers that mean them, in English and in
// German and as other products write them. Case, spaces and punctuation do not
// matter. What one product calls differently stands in its preset.
var fields = []field{
	{name: FieldName, set: setName, synonyms: []string{"full name", "user name", "username", "user", "user display name", "display name", "owner", "owner name", "employee", "employee name",
		"real name", "contact name", "assigned user", "benutzer", "benutzername", "anzeigename", "besitzer", "eigentümer", "mitarbeiter", "vollständiger name", "vor- und nachname", "nutzer"}},
	{name: FieldEmail, set: setEmail, synonyms: []string{"e-mail", "mail", "email address", "e-mail address", "mail address", "user email", "user email address", "owner email", "user principal name", "upn", "primary email",
		"assigned to email", "email id", "e-mail-adresse", "mailadresse", "email adresse", "benutzer e-mail", "e-mail des benutzers"}},
	{name: FieldMobile, set: setMobile, synonyms: []string{"mobile number", "mobile phone", "phone", "phone number", "telephone", "telephone number", "cell", "cell phone", "user phone", "msisdn",
		"handy", "handynummer", "mobil", "mobilnummer", "mobiltelefon", "telefon", "telefonnummer", "rufnummer"}},
	{name: FieldOwnership, set: setOwnership, keep: true, synonyms: []string{"owned by", "ownership type", "device ownership", "owner type", "besitz", "besitzart", "eigentum", "eigentumsart", "eigentumsverhältnis"}},
	{name: FieldDeviceName, set: setDeviceName, synonyms: []string{"device name", "friendly name", "device friendly name", "device", "hostname", "host name", "device alias", "gerätename", "gerät", "name des geräts", "anzeigename des geräts"}},
	{name: FieldSerial, set: setSerial, keep: true, synonyms: []string{"serial", "serial no", "serial nr", "serial #", "s/n", "sn", "device serial", "device serial number", "hardware serial", "serials", "serial numbers",
		"seriennummer", "seriennr", "serien-nr", "serien nummer", "geräteseriennummer"}},
	{name: FieldPlatform, set: setPlatform, keep: true, synonyms: []string{"os", "platform type", "os type", "operating system", "device platform", "plattform", "betriebssystem", "geräteplattform"}},

	{name: FieldGroup, set: setGroups, many: true, synonyms: []string{"groups", "group name", "group names", "device group", "device groups", "gruppe", "gruppen", "gruppenname", "gerätegruppe", "gerätegruppen"}},
	{name: FieldTags, set: setTags, many: true, synonyms: []string{"tag", "labels", "label", "schlagwort", "schlagworte", "schlagwörter", "etikett", "etiketten"}},
	{name: FieldAssetTag, set: setAssetTag, synonyms: []string{"asset", "asset no", "asset number", "asset id", "inventory number", "inventory no", "inventarnummer", "inventar-nr", "inventarnr", "anlagennummer"}},
	{name: FieldIMEI, set: setIMEI, synonyms: []string{"imei1", "imei 1", "imei number", "imei/meid", "imei-nummer", "imei nr"}},
	{name: FieldIMEI2, set: setIMEI2, synonyms: []string{"imei 2", "second imei", "zweite imei"}},
	{name: FieldUDID, set: setUDID, synonyms: []string{"device udid", "unique device id", "unique device identifier"}},
	{name: FieldModel, set: setModel, synonyms: []string{"device model", "model name", "product", "product name", "product description", "modell", "gerätemodell", "produkt"}},
	{name: FieldNotBefore, set: setNotBefore, synonyms: []string{"valid from", "start date", "gültig ab", "startdatum"}},
	{name: FieldExpiresAt, set: setExpiresAt, synonyms: []string{"expires", "expiry", "expiry date", "expiration", "expiration date", "valid until", "end date", "ablaufdatum", "gültig bis", "läuft ab", "enddatum"}},
	{name: FieldUses, set: setUses, synonyms: []string{"max uses", "number of uses", "enrollments allowed", "anzahl", "nutzungen"}},
	{name: FieldPolicy, set: setPolicies, many: true, synonyms: []string{"policies", "policy name", "richtlinie", "richtlinien"}},
	{name: FieldNotes, set: setNotes, synonyms: []string{"note", "comment", "comments", "remarks", "remark", "description", "details", "device details", "notiz", "notizen", "bemerkung", "bemerkungen", "kommentar", "anmerkung", "beschreibung"}},

	{name: FieldFirstName, set: setFirstName, synonyms: []string{"given name", "forename", "vorname"}},
	{name: FieldLastName, set: setLastName, synonyms: []string{"surname", "family name", "nachname", "familienname"}},
	{name: FieldIdentifier, set: setIdentifier, keep: true, synonyms: []string{"device identifier", "identifiers", "corporate identifier", "hardware identifier"}},
}

// byField finds a field by its name, byHeader by a folded header.
var byField, byHeader = func() (names map[string]*field, headers map[string]*field) {
	names, headers = map[string]*field{}, map[string]*field{}
	for i := range fields {
		f := &fields[i]
		names[f.name] = f
		headers[fold(f.name)] = f
		for _, s := range f.synonyms {
			headers[fold(s)] = f
		}
	}
	return names, headers
}()

var umlauts = strings.NewReplacer("ä", "ae", "ö", "oe", "ü", "ue", "ß", "ss")

// fold makes headers comparable: lower case, letters and digits only.
func fold(header string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, umlauts.Replace(strings.ToLower(header)))
}

// fieldNamed finds a field as an admin writes it.
func fieldNamed(name string) (*field, bool) {
	f, ok := byField[name]
	if !ok {
		f, ok = byHeader[fold(name)]
	}
	return f, ok
}

// FieldNames lists what columns can be mapped to.
func FieldNames() []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	return names
}
