package document

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Redacted is d as it may be read: Kept stands for every secret, and for the
// file of every pkcs12 certificate.
func (d Document) Redacted() Document {
	return d.mapSecrets(func(_, text string) string {
		if text == "" {
			return ""
		}
		return Kept
	})
}

// WithKept is d with the secrets of old where d says Kept. Elements of lists
// are found by their key (ssid, name, identifier of the app, id of the
// profile), wherever they stand now. What old does not have stays Kept, and is
// refused by Check.
func (d Document) WithKept(old Document) Document {
	var have map[string]string
	return d.mapSecrets(func(place, text string) string {
		if text != Kept {
			return text
		}
		if have == nil {
			have = map[string]string{}
			old.mapSecrets(func(place, text string) string {
				have[place] = text
				return text
			})
		}
		if s := have[place]; s != "" {
			return s
		}
		return text
	})
}

// mapSecrets gives a copy of d with each secret replaced by what f makes of it.
// The place of a secret is made of keys, not of positions.
func (d Document) mapSecrets(f func(place, text string) string) Document {
	at := func(s *Secret, place ...string) {
		if *s != "" {
			*s = Secret(f(strings.Join(place, "\x00"), string(*s)))
		}
	}
	d.WiFi = slices.Clone(d.WiFi)
	for i := range d.WiFi {
		w := &d.WiFi[i]
		at(&w.Password, "wifi", w.SSID, "password")
		if w.EAP != nil {
			eap := *w.EAP
			w.EAP = &eap
			at(&eap.Password, "wifi", w.SSID, "eap", "password")
		}
		if w.Proxy != nil {
			proxy := *w.Proxy
			w.Proxy = &proxy
			at(&proxy.Password, "wifi", w.SSID, "proxy", "password")
		}
	}
	d.VPN = slices.Clone(d.VPN)
	for i := range d.VPN {
		v := &d.VPN[i]
		at(&v.SharedSecret, "vpn", v.Name, "shared_secret")
		at(&v.Password, "vpn", v.Name, "password")
	}
	d.Email = slices.Clone(d.Email)
	for i := range d.Email {
		e := &d.Email[i]
		at(&e.Incoming.Password, "email", e.Name, "incoming")
		at(&e.Outgoing.Password, "email", e.Name, "outgoing")
	}
	d.Certificates = slices.Clone(d.Certificates)
	for i := range d.Certificates {
		c := &d.Certificates[i]
		at(&c.Password, "certificates", c.Name, "password")
		if c.Kind == "pkcs12" {
			data := Secret(c.Data)
			at(&data, "certificates", c.Name, "data")
			c.Data = []byte(data)
		}
	}
	if d.Apps != nil {
		apps := *d.Apps
		d.Apps = &apps
		list := func(name string, l []App) []App {
			l = slices.Clone(l)
			for i := range l {
				l[i].Configuration = dictSecrets(strings.Join([]string{name, appPlace(&l[i])}, "\x00"), l[i].Configuration, f)
			}
			return l
		}
		apps.Required = list("required", apps.Required)
		apps.Allowed = list("allowed", apps.Allowed)
	}
	if d.SingleApp != nil {
		app := *d.SingleApp
		d.SingleApp = &app
		app.Configuration = dictSecrets("single_app", app.Configuration, f)
	}
	if d.Apple != nil {
		d.Apple = &Apple{Profiles: slices.Clone(d.Apple.Profiles)}
		for i := range d.Apple.Profiles {
			p := &d.Apple.Profiles[i]
			p.Payloads = slices.Clone(p.Payloads)
			seen := map[string]int{}
			for j := range p.Payloads {
				kind := p.Payloads[j].Type
				seen[kind]++
				place := strings.Join([]string{"apple", p.ID, element(kind, seen[kind])}, "\x00")
				p.Payloads[j].Content = dictSecrets(place, p.Payloads[j].Content, f)
				if file, ok := p.Payloads[j].Content["PayloadContent"].([]byte); ok && strings.HasSuffix(kind, "pkcs12") {
					p.Payloads[j].Content["PayloadContent"] = []byte(f(place+"\x00file", string(file)))
				}
			}
		}
	}
	if d.Android != nil {
		d.Android = &Android{Policy: maps.Clone(d.Android.Policy)}
		for k, raw := range d.Android.Policy {
			d.Android.Policy[k] = jsonSecrets("android\x00"+k, k, raw, f)
		}
	}
	return d
}

// jsonSecrets does for a raw field of Google's what dictSecrets does for a
// dictionary.
func jsonSecrets(place, key string, raw json.RawMessage, f func(place, text string) string) json.RawMessage {
	var v any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if dec.Decode(&v) != nil {
		return raw
	}
	changed := false
	v = valueSecrets(place, key, v, func(place, text string) string {
		s := f(place, text)
		changed = changed || s != text
		return s
	})
	if !changed {
		return raw
	}
	b, err := json.Marshal(v)
	if err != nil {
		return raw
	}
	return b
}

func appPlace(a *App) string {
	return strings.Join(append(appleIDs(a), androidIDs(a)...), "\x00")
}

// dictSecrets maps the texts and bytes of a dictionary whose keys tell that
// they are secret.
func dictSecrets(place string, d Dict, f func(place, text string) string) Dict {
	if d == nil {
		return nil
	}
	out := maps.Clone(d)
	for k, v := range out {
		out[k] = valueSecrets(place+"\x00"+k, k, v, f)
	}
	return out
}

func valueSecrets(place, key string, v any, f func(place, text string) string) any {
	switch v := v.(type) {
	case string:
		if v != "" && tellsSecret(key) {
			return f(place, v)
		}
	case []byte:
		if len(v) > 0 && tellsSecret(key) {
			return []byte(f(place, string(v)))
		}
	case Dict:
		return dictSecrets(place, v, f)
	case map[string]any:
		return map[string]any(dictSecrets(place, v, f))
	case []any:
		out := slices.Clone(v)
		for i := range out {
			out[i] = valueSecrets(element(place, i), key, out[i], f)
		}
		return out
	}
	return v
}

// secretWords end the keys that name a secret, in Apple's, Google's and the
// usual apps' own words: "EAPPassword", "SharedSecret", "PKCS12", "api_token".
// A key that only begins so is about it: "passwordQuality".
var secretWords = []string{"password", "passphrase", "secret", "challenge", "token", "apikey", "api_key", "privatekey", "private_key", "pkcs12"}

// tellsSecret says whether a key of a raw payload names a secret.
func tellsSecret(key string) bool {
	key = strings.TrimSuffix(strings.ToLower(key), "s")
	return slices.ContainsFunc(secretWords, func(word string) bool { return strings.HasSuffix(key, word) })
}
