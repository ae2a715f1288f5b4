package apple

import "rollcall/policy/document"

func (c *compiler) webClips() {
	for i := range c.d.WebClips {
		w, pointer := &c.d.WebClips[i], element("/web_clips", i)
		if !c.able(pointer, c.feature("web_clips")) {
			continue
		}
		content := document.Dict{"Label": w.Name, "URL": w.URL}
		if w.Removable != nil && !*w.Removable && c.able(pointer+"/removable", c.feature("web_clips.removable")) {
			content["IsRemovable"] = false
		}
		if w.FullScreen && c.able(pointer+"/full_screen", c.feature("web_clips.full_screen")) {
			content["FullScreen"] = true
		}
		if len(w.Icon) > 0 {
			content["Icon"] = w.Icon
		}
		c.install("web_clip."+short(w.Name), "Web clip "+w.Name, pointer,
			document.Payload{Type: "com.apple.webClip.managed", DisplayName: w.Name, Content: content})
	}
}

// webFilter is the filter that is built into the system. Its lists had other
// names before iOS 14.5.
func (c *compiler) webFilter() {
	const pointer = "/web_filter"
	f := c.d.WebFilter
	if f == nil || f.AdultContent != document.Deny && f.AllowOnly == nil && len(f.Permitted) == 0 && len(f.Denied) == 0 {
		return
	}
	if len(f.Permitted) > 0 && f.AdultContent != document.Deny {
		c.note(pointer+"/permitted", document.NoteOutranked, "Exceptions count only where adult_content is denied.")
	}
	if !c.able(pointer, c.feature("web_filter")) {
		return
	}
	denyList, allowList := "DenyListURLs", "AllowListBookmarks"
	if c.t.OSVersion != "" && older(c.t.OSVersion, "14.5") {
		denyList, allowList = "BlacklistedURLs", "WhitelistedBookmarks"
	}
	content := document.Dict{"FilterType": "BuiltIn", "AutoFilterEnabled": f.AdultContent == document.Deny}
	if len(f.Permitted) > 0 {
		content["PermittedURLs"] = texts(f.Permitted)
	}
	if len(f.Denied) > 0 {
		content[denyList] = texts(f.Denied)
	}
	if f.AllowOnly != nil {
		bookmarks := []any{}
		for _, b := range f.AllowOnly {
			bookmarks = append(bookmarks, document.Dict{"Title": b.Title, "URL": b.URL})
		}
		content[allowList] = bookmarks
	}
	c.install("web_filter", "Web content filter", pointer, document.Payload{Type: "com.apple.webcontent-filter", Content: content})
}
