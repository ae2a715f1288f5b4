package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"rollcall/enroll"
	"rollcall/policy/apple"
	"rollcall/policy/document"
)

// Item is one thing a device is to have. Hash tells whether it changed.
type Item struct {
	Key        string // stable name: "profile:" + PayloadIdentifier, "setting:device_name", "app:...", ...
	Title      string // for the receipt
	Identifier string // what the device calls it: PayloadIdentifier, bundle ID; empty: unknown
	Hash       string
	Step       Step
	Policies   []From // it comes from these; none: from the device's row, or the server itself
	Blocked    string // why it is not sent, although it is wanted; empty: it is
	Last       bool   // to be sent after the apps, since it needs one of them
}

// From is a policy that something comes from, and how that policy reaches the
// device. Versions are left out, so that a new one changes no more than what it
// changes.
type From struct {
	Policy string `json:"policy"`
	Via    string `json:"via" doc:"\"device\", \"user\" or \"group:NAME\"."`
}

// The keys of items, or how they begin.
const (
	profileKey     = "profile:"
	appKey         = "app:"
	settingKey     = "setting:"
	checkKey       = "check:"
	declarationKey = "declarations"
	releaseKey     = "configured"
)

// removable says whether the device can be told to take the item off again.
func removable(key string) bool {
	return strings.HasPrefix(key, profileKey) || strings.HasPrefix(key, appKey)
}

// NoteState is what became of something that no command carries.
type NoteState string

// The states of a note.
const (
	NoteUnsupported NoteState = "unsupported" // the device would not honour it
	NoteFailed      NoteState = "failed"      // it cannot be sent
	NoteInfo        NoteState = "note"        // it is carried out otherwise than it is written
)

// Note is something of its policies that a device is not sent, or not as it is
// written.
type Note struct {
	State    NoteState `json:"state"`
	Pointer  string    `json:"pointer"` // into the effective document
	Code     string    `json:"code"`
	Text     string    `json:"text"`
	Policies []From    `json:"policies,omitempty"`
}

// codeMissing is the code of a note about a variable without a value.
const codeMissing = "variable_missing"

// Desire is the desired state of a device.
type Desire struct {
	Effective    document.Effective
	Items        []Item // in the order of a first check-in, without queries, checks and the release
	Declarations []apple.Declaration
	Notes        []Note

	shared string // the same for devices whose desired state is the same; empty: it is one device's own
}

// Person is what is known of the owner of a device, as far as variables go.
type Person struct{ Domain, Name, Email, Mobile string }

// VariablesOf are the values of the variables for a device and its owner.
func VariablesOf(d enroll.Device, p Person, organization string) document.Variables {
	local, _, _ := strings.Cut(p.Email, "@")
	return document.Variables{"serial": d.Serial, "device.id": d.ID, "device.name": d.Name, "device.model": d.Facts.Model, "device.asset_tag": d.AssetTag,
		"imei": d.Facts.IMEI, "udid": d.Facts.UDID, "user.name": p.Name, "user.email": p.Email, "user.mobile": p.Mobile, "user.local_part": local,
		"domain": p.Domain, "ownership": string(d.Ownership), "organization": organization}
}

// TargetOf is what is known of a device, for the compilers.
func TargetOf(d enroll.Device, userEnrollment bool) document.Target {
	t := document.Target{Platform: d.Platform, OSVersion: d.Facts.OSVersion, Supervised: d.Facts.Supervised, UserEnrollment: userEnrollment}
	if d.Platform == enroll.PlatformAndroid {
		androidTarget(&t, d)
	}
	for _, family := range []string{"iPhone", "iPad", "AppleTV", "Mac"} {
		if strings.HasPrefix(d.Facts.Product, family) || t.Family == "" && strings.HasPrefix(d.Facts.Model, family) {
			t.Family = family
		}
	}
	return t
}

// Planner makes desired states. Within its life, what is equal for several
// devices is merged and compiled once; it may be used from several goroutines.
type Planner struct {
	mu        sync.Mutex
	effective map[string]*merged
	compiled  map[compiledKey]Desire
	declared  map[string][]Declaration
	encoded   map[string]encoding
}

type merged struct {
	document.Effective
	constant bool // nothing in it depends on the device
}

type compiledKey struct {
	policies string
	target   string
}

// NewPlanner makes a Planner for one batch of devices.
func NewPlanner() *Planner {
	return &Planner{effective: map[string]*merged{}, compiled: map[compiledKey]Desire{}, declared: map[string][]Declaration{}, encoded: map[string]encoding{}}
}

// Desire says what a device is to have of the policies that reach it. name is
// the name the device's own row gives it, which comes before any policy's;
// empty: none.
func (p *Planner) Desire(bound []Bound, t document.Target, v document.Variables, name string) Desire {
	key := compiledKey{policies: boundKey(bound), target: hash(targetKey(t))}
	m := p.merge(key.policies, bound)
	if !m.constant || name != "" {
		return compile(m.Effective, t, v, name)
	}
	p.mu.Lock()
	d, known := p.compiled[key]
	p.mu.Unlock()
	if !known {
		d = compile(m.Effective, t, v, "")
		d.shared = key.policies + key.target
		p.mu.Lock()
		p.compiled[key] = d
		p.mu.Unlock()
	}
	return d
}

func (p *Planner) merge(key string, bound []Bound) *merged {
	p.mu.Lock()
	m, known := p.effective[key]
	p.mu.Unlock()
	if known {
		return m
	}
	m = &merged{Effective: document.Merge(Sources(bound))}
	_, missing := m.Document.Resolve(nil)
	m.constant = len(missing) == 0
	p.mu.Lock()
	p.effective[key] = m
	p.mu.Unlock()
	return m
}

func boundKey(bound []Bound) string {
	var b strings.Builder
	for _, one := range bound {
		fmt.Fprintf(&b, "%s@%d %s\n", one.ID, one.Version, one.Via)
	}
	return b.String()
}

// targetKey is a target by value.
func targetKey(t document.Target) any {
	supervised := "unknown"
	if t.Supervised != nil {
		supervised = fmt.Sprint(*t.Supervised)
	}
	t.Supervised = nil
	return struct {
		document.Target
		Supervision string
	}{t, supervised}
}

// compile resolves and compiles what is merged for one device.
func compile(e document.Effective, t document.Target, v document.Variables, name string) Desire {
	d := Desire{Effective: e}
	resolved, missing := e.Document.Resolve(v)
	if name != "" {
		resolved.DeviceName = name
	}
	var plan apple.Plan
	var notes []document.Note
	if t.Platform == enroll.PlatformAndroid {
		var item Item
		item, notes = compileAndroid(e, resolved, missing, t)
		d.Items = append(d.Items, item)
	} else {
		plan, notes = apple.Compile(resolved, t)
	}
	for _, m := range missing {
		if name == "" || m.Pointer != "/device_name" {
			d.Notes = append(d.Notes, Note{State: NoteFailed, Pointer: m.Pointer, Code: codeMissing,
				Text: fmt.Sprintf("The device has no value for {%s}.", m.Variable), Policies: originsOf(e, m.Pointer)})
		}
	}
	blocked := func(pointer string) string {
		for _, m := range d.Notes {
			if m.Code == codeMissing && under(m.Pointer, pointer) {
				return m.Text
			}
		}
		return ""
	}
	add := func(prefix, identifier, key, title, pointer string, content any, s Step, last bool) {
		d.Items = append(d.Items, Item{Key: prefix + key, Title: title, Identifier: identifier, Hash: hash(content), Step: s,
			Policies: originsOf(e, pointer), Blocked: blocked(pointer), Last: last})
	}
	for _, s := range plan.Settings {
		add(settingKey, "", s.Key, s.Title, s.Pointer, s, Settings{Items: []apple.Setting{s}}, false)
	}
	for _, f := range plan.Profiles {
		id := IdentifierPrefix + f.Key
		add(profileKey, id, id, f.Title, f.Pointer, f.Profile, InstallProfile{Identifier: id, Profile: f.Profile}, f.Last)
	}
	for _, a := range plan.Apps {
		add(appKey, a.BundleID, a.Key, a.Title, a.Pointer, a, InstallApp{App: a}, false)
	}
	d.Declarations = plan.Declarations
	for _, n := range notes {
		state := NoteUnsupported
		switch n.Code {
		case document.NoteRounded, document.NoteOutranked, document.NoteDoubtful:
			state = NoteInfo
		}
		d.Notes = append(d.Notes, Note{State: state, Pointer: n.Pointer, Code: string(n.Code), Text: n.Text, Policies: originsOf(e, n.Pointer)})
	}
	return d
}

// under says whether a pointer is at or below a place.
func under(pointer, place string) bool {
	return pointer == place || strings.HasPrefix(pointer, place+"/")
}

// originsOf are the policies that say something at or below a place; where
// nobody does, those that do so above it.
func originsOf(e document.Effective, place string) []From {
	var out []From
	collect := func(match func(pointer string) bool) {
		for _, pointer := range slices.Sorted(maps.Keys(e.Origins)) {
			if !match(pointer) {
				continue
			}
			for _, o := range e.Origins[pointer] {
				if from := (From{o.Policy, o.Via}); !slices.Contains(out, from) {
					out = append(out, from)
				}
			}
		}
	}
	collect(func(pointer string) bool { return under(pointer, place) })
	for out == nil && place != "" {
		place = place[:strings.LastIndexByte(place, '/')]
		collect(func(pointer string) bool { return pointer == place })
	}
	return out
}

func hash(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // checked at save: only values that have a JSON form are stored
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// day is how often it is looked whether a device still has what it was given.
const day = 24 * time.Hour

// wanted is the whole desired state of an enrolled device at a time, and when
// it will be another one by itself.
func (p *Planner) wanted(s Situation, d Desire, now time.Time) (items []Item, declarations []Declaration, again time.Time, err error) {
	if s.Protocol == ProtocolAMAPI {
		return d.Items, nil, again, nil // Google reports by itself
	}
	items = append(items, Item{Key: "query:device", Title: "Device information", Hash: "1", Step: QueryDevice{}})
	if s.Device.Platform == enroll.PlatformAndroid {
		return append(items, d.Items...), nil, again, nil
	}
	items = append(items, Item{Key: "query:security", Title: "Security information", Hash: "1", Step: QuerySecurity{}})
	var apps, last []Item
	profiles, named := false, []string(nil)
	for _, i := range d.Items {
		switch i.Step.(type) {
		case InstallApp:
			apps = append(apps, i)
			named = append(named, i.Identifier)
			continue
		case InstallProfile:
			profiles = true
		}
		if i.Last {
			last = append(last, i)
			continue
		}
		items = append(items, i)
	}
	if len(d.Declarations) > 0 || s.DeclarationsToken != "" {
		if declarations, err = p.declarations(d, s.Supported); err != nil {
			return nil, nil, again, err
		}
		token := DeclarationsToken(s.EnrollmentID, declarations)
		items = append(items, Item{Key: declarationKey, Title: "Declarations", Hash: token, Step: Declare{Tokens: SyncTokens(token, now)},
			Policies: declared(d)})
	}
	items = append(append(items, apps...), last...)
	if !s.EnrolledAt.IsZero() && (profiles || len(apps) > 0) {
		days := max(now.Sub(s.EnrolledAt)/day, 0)
		again = s.EnrolledAt.Add((days + 1) * day)
		if days > 0 && profiles {
			items = append(items, Item{Key: checkKey + "profiles", Title: "Look for profiles", Hash: fmt.Sprint(int64(days)), Step: QueryProfiles{}})
		}
		if days > 0 && len(apps) > 0 {
			items = append(items, Item{Key: checkKey + "apps", Title: "Look for apps", Hash: fmt.Sprint(int64(days)), Step: QueryApps{Identifiers: known(named)}})
		}
	}
	return items, declarations, again, nil
}

// declarations are those of a desired state that a device knows.
func (p *Planner) declarations(d Desire, supported map[string]bool) ([]Declaration, error) {
	if d.shared == "" {
		return Declarations(d.Declarations, supported)
	}
	key := d.shared
	if supported != nil {
		key += "\n" + strings.Join(slices.Sorted(maps.Keys(supported)), " ")
	}
	p.mu.Lock()
	out, known := p.declared[key]
	p.mu.Unlock()
	if known {
		return out, nil
	}
	out, err := Declarations(d.Declarations, supported)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.declared[key] = out
	p.mu.Unlock()
	return out, nil
}

// known gives the identifiers if all are known, so that a question names either
// all of them or none.
func known(identifiers []string) []string {
	for _, id := range identifiers {
		if id == "" {
			return nil
		}
	}
	return identifiers
}

// declared are the policies that declarations come from.
func declared(d Desire) []From {
	var out []From
	for _, place := range []string{"/passcode", "/os_update"} {
		for _, pointer := range slices.Sorted(maps.Keys(d.Effective.Origins)) {
			if under(pointer, place) {
				for _, o := range d.Effective.Origins[pointer] {
					if from := (From{o.Policy, o.Via}); !slices.Contains(out, from) {
						out = append(out, from)
					}
				}
			}
		}
	}
	return out
}
