package document

import (
	"fmt"
	"reflect"
	"slices"
)

// appList is a list of apps that is looked into by any of their identifiers.
// No two of its apps share one, except among the blocked.
type appList struct {
	apps []App
	at   map[string]int
}

// appleIDs and androidIDs are the identifiers of the two halves of an app, kept
// apart by a letter.
func appleIDs(a *App) []string {
	var ids []string
	if a.BundleID != "" {
		ids = append(ids, "b"+a.BundleID)
	}
	if a.AppStoreID != 0 {
		ids = append(ids, fmt.Sprint("s", a.AppStoreID))
	}
	if a.ManifestURL != "" {
		ids = append(ids, "m"+a.ManifestURL)
	}
	return ids
}

func androidIDs(a *App) []string {
	if a.Package == "" {
		return nil
	}
	return []string{"p" + a.Package}
}

// A half is one platform's part of an app: its identifiers, and how to take it
// out of the app.
type half struct {
	ids     func(*App) []string
	without func(App) App // the app without this half
	only    func(App) App // this half alone, without its name, for comparing
}

var halves = []half{
	{appleIDs, func(a App) App {
		a.BundleID, a.AppStoreID, a.ManifestURL, a.License, a.KeepOnRemoval, a.NoBackup = "", 0, "", "", false, false
		return a
	}, func(a App) App {
		a.Name, a.Package, a.APKURL = "", "", ""
		return a
	}},
	{androidIDs, func(a App) App {
		a.Package, a.APKURL = "", ""
		return a
	}, func(a App) App {
		return App{Package: a.Package, APKURL: a.APKURL, Removable: a.Removable, Configuration: a.Configuration}
	}},
}

// Label names an app for a person, by whatever it has.
func (a App) Label() string {
	switch {
	case a.Name != "":
		return a.Name
	case a.BundleID != "":
		return a.BundleID
	case a.Package != "":
		return a.Package
	case a.ManifestURL != "":
		return a.ManifestURL
	}
	return fmt.Sprint("App Store ", a.AppStoreID)
}

// find gives the app that has one of the identifiers.
func (l *appList) find(ids []string) (int, bool) {
	for _, id := range ids {
		if n, ok := l.at[id]; ok {
			return n, true
		}
	}
	return 0, false
}

// all says whether each of the identifiers is in the list.
func (l *appList) all(ids []string) bool {
	return !slices.ContainsFunc(ids, func(id string) bool { _, there := l.at[id]; return !there })
}

func (l *appList) add(a App) int {
	if l.at == nil {
		l.at = map[string]int{}
	}
	n := len(l.apps)
	l.apps = append(l.apps, a)
	for _, h := range halves {
		for _, id := range h.ids(&a) {
			l.at[id] = n
		}
	}
	return n
}

// join adds an app of the source to the list: those of its halves that are not
// there yet. Where one is there with other content the list's stays.
func (m *merger) join(l *appList, pointer string, a App, s *Source) {
	rest := a
	for _, h := range halves {
		ids := h.ids(&a)
		n, there := l.find(ids)
		if !there {
			continue
		}
		p := element(pointer, n)
		if reflect.DeepEqual(h.only(l.apps[n]), h.only(a)) {
			m.from(p, s)
		} else {
			m.lost(p, m.origins[p][0], s, fmt.Sprintf("%s is there with other content; the higher rank wins.", a.Label()))
		}
		rest = h.without(rest)
	}
	if appleIDs(&rest) != nil || androidIDs(&rest) != nil {
		m.from(element(pointer, l.add(rest)), s)
	}
}

func (m *merger) apps(kiosk *App) *Apps {
	some := false
	for i := range m.sources {
		some = some || m.sources[i].Document.Apps != nil
	}
	if !some {
		return nil
	}
	blocked := m.blocked(kiosk)
	var required appList
	for i := range m.sources {
		s := &m.sources[i]
		if s.Document.Apps == nil {
			continue
		}
		for _, a := range s.Document.Apps.Required {
			m.join(&required, "/apps/required", m.unblocked(blocked, a, s, "required"), s)
		}
	}
	return &Apps{Required: required.apps, Allowed: m.allowed(blocked), Blocked: blocked.apps}
}

// blocked is what any policy blocks, but for the app of the kiosk.
func (m *merger) blocked(kiosk *App) *appList {
	var l appList
	for i := range m.sources {
		s := &m.sources[i]
		if s.Document.Apps == nil {
			continue
		}
		for _, a := range s.Document.Apps.Blocked {
			a = App{Name: a.Name, BundleID: a.BundleID, AppStoreID: a.AppStoreID, ManifestURL: a.ManifestURL, Package: a.Package}
			if kiosk != nil {
				for _, h := range halves {
					if shareOne(h.ids(&a), h.ids(kiosk)) {
						m.lost("/single_app", m.origins["/single_app"][0], s, fmt.Sprintf("%s is blocked; as the only app of the device it stays.", a.Label()))
						a = h.without(a)
					}
				}
			}
			rest := a
			for _, h := range halves {
				ids := h.ids(&a)
				if n, there := l.find(ids); there {
					m.from(element("/apps/blocked", n), s)
					// A device blocks by one of the identifiers: each must stay.
					if l.all(ids) {
						rest = h.without(rest)
					}
				}
			}
			if appleIDs(&rest) != nil || androidIDs(&rest) != nil {
				m.from(element("/apps/blocked", l.add(rest)), s)
			}
		}
	}
	return &l
}

func shareOne(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// unblocked gives what is left of an app after the blocked ones.
func (m *merger) unblocked(blocked *appList, a App, s *Source, as string) App {
	rest := a
	for _, h := range halves {
		if n, no := blocked.find(h.ids(&a)); no {
			p := element("/apps/blocked", n)
			m.lost(p, m.origins[p][0], s, fmt.Sprintf("%s is %s and blocked; blocked wins.", a.Label(), as))
			rest = h.without(rest)
		}
	}
	return rest
}

// allowed is what every closed list holds; nil where there is none.
func (m *merger) allowed(blocked *appList) []App {
	type closed struct {
		source *Source
		list   appList
	}
	var lists []closed
	for i := range m.sources {
		s := &m.sources[i]
		if s.Document.Apps == nil || s.Document.Apps.Allowed == nil {
			continue
		}
		c := closed{source: s}
		for _, a := range s.Document.Apps.Allowed {
			c.list.add(a)
		}
		lists = append(lists, c)
	}
	if lists == nil {
		return nil
	}
	out := appList{apps: []App{}}
	for i := range lists {
		s := lists[i].source
		m.from("/apps/allowed", s)
		for _, a := range lists[i].list.apps {
			rest := a
			for _, h := range halves {
				ids := h.ids(&a)
				if ids == nil {
					continue
				}
				for j := range lists {
					if _, there := lists[j].list.find(ids); !there {
						m.lost("/apps/allowed", lists[j].source.origin(), s, "Only what is on every list of allowed apps stays.")
						rest = h.without(rest)
						break
					}
				}
			}
			m.join(&out, "/apps/allowed", m.unblocked(blocked, rest, s, "allowed"), s)
		}
	}
	return out.apps
}
