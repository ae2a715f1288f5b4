package document

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Merge says what several policies say together. The order of sources does not
// matter, and one that is there twice counts once.
//
// The sources are ranked: the higher priority first; of equals what is bound to
// the device before what is bound to its user, and that before what comes by a
// group; then by the policy's name. The rules, by field:
//
//	restrictions, passcode     field by field, the most restrictive value
//	wifi, vpn, email,          union by key; of two with the same key and
//	certificates, web_clips      other content the higher rank
//	apps.required              union by app; blocked wins over required
//	apps.blocked               union
//	apps.allowed               intersection: what is on every list, not blocked
//	web_filter                 denied: union; allow_only: intersection;
//	                             permitted: what every filtering policy permits
//	device_name, lock_message, the whole value of the highest rank
//	os_update, home_screen,
//	single_app
//	apple.profiles             union, each named after its policy
//	android.policy             field by field, the highest rank
//
// An app is two things, its Apple and its Android half; each is merged by its
// own identifiers. What is required is usable, whatever the lists of allowed
// apps say. The one app of a kiosk cannot be blocked: that list lets go of it.
func Merge(sources []Source) Effective {
	m := &merger{sources: ranked(sources), origins: make(map[string][]Origin, 2*len(restrictionPointers)), conflict: map[string]int{}}
	d := Document{
		Restrictions: m.restrictions(),
		Passcode:     m.passcode(),
		WiFi:         union(m, "/wifi", func(d *Document) []WiFi { return d.WiFi }, func(w *WiFi) string { return w.SSID }),
		VPN:          union(m, "/vpn", func(d *Document) []VPN { return d.VPN }, func(v *VPN) string { return v.Name }),
		Email:        union(m, "/email", func(d *Document) []Email { return d.Email }, func(e *Email) string { return e.Name }),
		Certificates: union(m, "/certificates", func(d *Document) []Certificate { return d.Certificates }, func(c *Certificate) string { return c.Name }),
		WebClips:     union(m, "/web_clips", func(d *Document) []WebClip { return d.WebClips }, func(w *WebClip) string { return w.Name }),
		WebFilter:    m.webFilter(),
		DeviceName:   single(m, "/device_name", func(d *Document) string { return d.DeviceName }),
		LockMessage:  single(m, "/lock_message", func(d *Document) string { return d.LockMessage }),
		OSUpdate:     single(m, "/os_update", func(d *Document) *OSUpdate { return d.OSUpdate }),
		HomeScreen:   single(m, "/home_screen", func(d *Document) *HomeScreen { return d.HomeScreen }),
		SingleApp:    single(m, "/single_app", func(d *Document) *App { return d.SingleApp }),
		Android:      m.android(),
	}
	d.Apps = m.apps(d.SingleApp)
	d.Apple = m.apple()
	return Effective{Document: d, Origins: m.origins, Conflicts: m.conflicts}
}

// ranked gives the sources in their rank, each once.
func ranked(sources []Source) []Source {
	out := slices.Clone(sources)
	slices.SortFunc(out, func(a, b Source) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(closeness(a.Via), closeness(b.Via)),
			strings.Compare(a.Policy, b.Policy), strings.Compare(a.PolicyID, b.PolicyID),
			cmp.Compare(b.Version, a.Version), strings.Compare(a.Via, b.Via))
	})
	return slices.CompactFunc(out, func(a, b Source) bool {
		return a.PolicyID == b.PolicyID && a.Policy == b.Policy && a.Version == b.Version && a.Via == b.Via
	})
}

// closeness is how near to the device a binding is.
func closeness(via string) int {
	switch via {
	case "device":
		return 0
	case "user":
		return 1
	}
	return 2
}

type merger struct {
	sources   []Source // by rank
	origins   map[string][]Origin
	conflicts []Conflict
	conflict  map[string]int // index by pointer
}

func (s *Source) origin() Origin { return Origin{Policy: s.Policy, Version: s.Version, Via: s.Via} }

// from notes that the value at pointer comes from the source.
func (m *merger) from(pointer string, s *Source) {
	o, have := s.origin(), m.origins[pointer]
	if have == nil {
		have = make([]Origin, 0, len(m.sources))
	}
	if !slices.Contains(have, o) {
		m.origins[pointer] = append(have, o)
	}
}

// lost notes that what the source says at pointer has no effect; of several the
// text is that of the first.
func (m *merger) lost(pointer string, won Origin, s *Source, text string) {
	i, ok := m.conflict[pointer]
	if !ok {
		i = len(m.conflicts)
		m.conflict[pointer] = i
		m.conflicts = append(m.conflicts, Conflict{Pointer: pointer, Text: text, Won: won})
	}
	c := &m.conflicts[i]
	if o := s.origin(); !slices.Contains(c.Lost, o) {
		c.Lost = append(c.Lost, o)
	}
}

// strictest settles one field by the most restrictive value; the zero value
// says nothing.
func strictest[T comparable](m *merger, pointer string, get func(*Document) T, stricter func(a, b T) bool) T {
	var zero, best T
	differ := false
	for i := range m.sources {
		v := get(&m.sources[i].Document)
		if v == zero {
			continue
		}
		differ = differ || best != zero && v != best
		if best == zero || stricter(v, best) {
			best = v
		}
	}
	if best == zero {
		return best
	}
	for i := range m.sources {
		if get(&m.sources[i].Document) == best {
			m.from(pointer, &m.sources[i])
		}
	}
	if differ {
		for i := range m.sources {
			if v := get(&m.sources[i].Document); v != zero && v != best {
				m.lost(pointer, m.origins[pointer][0], &m.sources[i], fmt.Sprintf("The most restrictive value wins: %v.", best))
			}
		}
	}
	return best
}

// single settles a whole value by rank; the zero value says nothing.
func single[T comparable](m *merger, pointer string, get func(*Document) T) T {
	var zero, best T
	for i := range m.sources {
		s := &m.sources[i]
		switch v := get(&s.Document); {
		case v == zero:
		case best == zero:
			best = v
			m.from(pointer, s)
		case v == best || reflect.DeepEqual(v, best):
			m.from(pointer, s)
		default:
			m.lost(pointer, m.origins[pointer][0], s, "Only one value is possible; the higher rank wins.")
		}
	}
	return best
}

// union settles a list by the key of its elements.
func union[T any](m *merger, pointer string, list func(*Document) []T, key func(*T) string) []T {
	var out []T
	var at map[string]int
	for i := range m.sources {
		s := &m.sources[i]
		elements := list(&s.Document)
		for j := range elements {
			k := key(&elements[j])
			n, there := at[k]
			switch {
			case !there:
				if at == nil {
					at = map[string]int{}
				}
				n = len(out)
				at[k] = n
				out = append(out, elements[j])
				m.from(element(pointer, n), s)
			case reflect.DeepEqual(out[n], elements[j]):
				m.from(element(pointer, n), s)
			default:
				p := element(pointer, n)
				m.lost(p, m.origins[p][0], s, fmt.Sprintf("%q is there with other content; the higher rank wins.", k))
			}
		}
	}
	return out
}

// strictness orders the values of permissions, requirements, locations and
// complexities among their own kind.
var strictness = map[string]int{
	string(Deny): 2, string(Allow): 1,
	string(Require): 2, string(Optional): 1,
	string(LocationOff): 3, string(LocationOn): 2, string(LocationUser): 1,
	"high": 3, "medium": 2, "low": 1,
}

func stricterWord(a, b string) bool { return strictness[a] > strictness[b] }

// restrictionPointers are the pointers of the fields of Restrictions, in order.
// Every field of it is a word of strictness (tested).
var restrictionPointers = func() []string {
	t := reflect.TypeFor[Restrictions]()
	out := make([]string, t.NumField())
	for i := range out {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		out[i] = "/restrictions/" + name
	}
	return out
}()

func (m *merger) restrictions() *Restrictions {
	if !slices.ContainsFunc(m.sources, func(s Source) bool { return s.Document.Restrictions != nil }) {
		return nil
	}
	var out Restrictions
	into := reflect.ValueOf(&out).Elem()
	for i, pointer := range restrictionPointers {
		get := func(d *Document) string {
			if d.Restrictions == nil {
				return ""
			}
			return reflect.ValueOf(d.Restrictions).Elem().Field(i).String()
		}
		into.Field(i).SetString(strictest(m, pointer, get, stricterWord))
	}
	return &out
}

func (m *merger) passcode() *Passcode {
	if !slices.ContainsFunc(m.sources, func(s Source) bool { return s.Document.Passcode != nil }) {
		return nil
	}
	say := func(get func(*Passcode) int) func(*Document) int {
		return func(d *Document) int {
			if d.Passcode == nil {
				return 0
			}
			return get(d.Passcode)
		}
	}
	yes := func(pointer string, get func(*Passcode) bool) bool {
		return strictest(m, pointer, func(d *Document) bool { return d.Passcode != nil && get(d.Passcode) }, func(a, b bool) bool { return false })
	}
	word := func(pointer string, get func(*Passcode) string) string {
		return strictest(m, pointer, func(d *Document) string {
			if d.Passcode == nil {
				return ""
			}
			return get(d.Passcode)
		}, stricterWord)
	}
	more := func(a, b int) bool { return a > b }
	less := func(a, b int) bool { return a < b }
	out := &Passcode{
		Required:          yes("/passcode/required", func(p *Passcode) bool { return p.Required }),
		MinLength:         strictest(m, "/passcode/min_length", say(func(p *Passcode) int { return p.MinLength }), more),
		Complexity:        word("/passcode/complexity", func(p *Passcode) string { return p.Complexity }),
		Simple:            Permission(word("/passcode/simple", func(p *Passcode) string { return string(p.Simple) })),
		Alphanumeric:      yes("/passcode/alphanumeric", func(p *Passcode) bool { return p.Alphanumeric }),
		MinComplexChars:   strictest(m, "/passcode/min_complex_characters", say(func(p *Passcode) int { return p.MinComplexChars }), more),
		History:           strictest(m, "/passcode/history", say(func(p *Passcode) int { return p.History }), more),
		MaxAgeDays:        strictest(m, "/passcode/max_age_days", say(func(p *Passcode) int { return p.MaxAgeDays }), less),
		MaxFailedAttempts: strictest(m, "/passcode/max_failed_attempts", say(func(p *Passcode) int { return p.MaxFailedAttempts }), less),
		LockAfterSeconds:  strictest(m, "/passcode/lock_after_seconds", say(func(p *Passcode) int { return p.LockAfterSeconds }), less),
		WorkProfile:       yes("/passcode/work_profile", func(p *Passcode) bool { return p.WorkProfile }),
	}
	// Zero seconds of grace is a value; one more makes room for "says nothing".
	grace := strictest(m, "/passcode/grace_seconds", say(func(p *Passcode) int {
		if p.GraceSeconds == nil {
			return 0
		}
		return *p.GraceSeconds + 1
	}), less)
	if grace > 0 {
		grace--
		out.GraceSeconds = &grace
	}
	return out
}

// android lays the raw fields of the sources over each other.
func (m *merger) android() *Android {
	var out map[string]json.RawMessage
	for i := range m.sources {
		s := &m.sources[i]
		if s.Document.Android == nil {
			continue
		}
		for _, k := range slices.Sorted(maps.Keys(s.Document.Android.Policy)) {
			v, p := s.Document.Android.Policy[k], "/android/policy/"+token(k)
			have, there := out[k]
			switch {
			case !there:
				if out == nil {
					out = map[string]json.RawMessage{}
				}
				out[k] = v
				m.from(p, s)
			case sameJSON(have, v):
				m.from(p, s)
			default:
				m.lost(p, m.origins[p][0], s, fmt.Sprintf("The field %s is there with other content; the higher rank wins.", k))
			}
		}
	}
	if out == nil {
		return nil
	}
	return &Android{Policy: out}
}

func sameJSON(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// apple gathers the raw profiles, each under its policy's name.
func (m *merger) apple() *Apple {
	var profiles []Profile
	for i := range m.sources {
		s := &m.sources[i]
		if s.Document.Apple == nil {
			continue
		}
		for _, f := range s.Document.Apple.Profiles {
			f.ID = s.PolicyID + "." + f.ID
			n := slices.IndexFunc(profiles, func(have Profile) bool { return have.ID == f.ID })
			if n < 0 {
				n = len(profiles)
				profiles = append(profiles, f)
			}
			m.from(element("/apple/profiles", n), s)
		}
	}
	if profiles == nil {
		return nil
	}
	return &Apple{Profiles: profiles}
}

// element is the pointer of an element of a list.
func element(list string, i int) string { return list + "/" + strconv.Itoa(i) }

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

// token escapes a name for a JSON pointer (RFC 6901, section 3).
func token(name string) string {
	return pointerEscapes.Replace(name)
}
