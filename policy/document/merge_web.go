package document

import (
	"fmt"
	"slices"
)

// webFilter: a filter's exception holds only where every filter makes it.
func (m *merger) webFilter() *WebFilter {
	var filters []*Source
	for i := range m.sources {
		if m.sources[i].Document.WebFilter != nil {
			filters = append(filters, &m.sources[i])
		}
	}
	if filters == nil {
		return nil
	}
	out := &WebFilter{}
	out.AdultContent = Permission(strictest(m, "/web_filter/adult_content", func(d *Document) string {
		if d.WebFilter == nil {
			return ""
		}
		return string(d.WebFilter.AdultContent)
	}, stricterWord))
	for _, s := range filters {
		for _, u := range s.Document.WebFilter.Denied {
			n := slices.Index(out.Denied, u)
			if n < 0 {
				n = len(out.Denied)
				out.Denied = append(out.Denied, u)
			}
			m.from(element("/web_filter/denied", n), s)
		}
	}
	m.permitted(out, filters)
	m.allowOnly(out, filters)
	return out
}

func (m *merger) permitted(out *WebFilter, filters []*Source) {
	for _, s := range filters {
		for _, u := range s.Document.WebFilter.Permitted {
			if n := slices.Index(out.Denied, u); n >= 0 {
				p := element("/web_filter/denied", n)
				m.lost(p, m.origins[p][0], s, fmt.Sprintf("%s is permitted and denied; denied wins.", u))
				continue
			}
			i := slices.IndexFunc(filters, func(o *Source) bool {
				f := o.Document.WebFilter
				return f.AdultContent == Deny && !slices.Contains(f.Permitted, u)
			})
			if i >= 0 {
				m.lost("/web_filter/permitted", filters[i].origin(), s, "Only what every automatic filter lets through stays.")
				continue
			}
			n := slices.Index(out.Permitted, u)
			if n < 0 {
				n = len(out.Permitted)
				out.Permitted = append(out.Permitted, u)
			}
			m.from(element("/web_filter/permitted", n), s)
		}
	}
}

func (m *merger) allowOnly(out *WebFilter, filters []*Source) {
	has := func(s *Source, url string) bool {
		return slices.ContainsFunc(s.Document.WebFilter.AllowOnly, func(b Bookmark) bool { return b.URL == url })
	}
	for _, s := range filters {
		list := s.Document.WebFilter.AllowOnly
		if list == nil {
			continue
		}
		if out.AllowOnly == nil {
			out.AllowOnly = []Bookmark{}
		}
		m.from("/web_filter/allow_only", s)
		for _, b := range list {
			if n := slices.Index(out.Denied, b.URL); n >= 0 {
				p := element("/web_filter/denied", n)
				m.lost(p, m.origins[p][0], s, fmt.Sprintf("%s is allowed and denied; denied wins.", b.URL))
				continue
			}
			i := slices.IndexFunc(filters, func(o *Source) bool { return o.Document.WebFilter.AllowOnly != nil && !has(o, b.URL) })
			if i >= 0 {
				m.lost("/web_filter/allow_only", filters[i].origin(), s, "Only what is on every list of allowed pages stays.")
				continue
			}
			n := slices.IndexFunc(out.AllowOnly, func(have Bookmark) bool { return have.URL == b.URL })
			if n < 0 {
				n = len(out.AllowOnly)
				out.AllowOnly = append(out.AllowOnly, b)
			}
			m.from(element("/web_filter/allow_only", n), s)
		}
	}
}
