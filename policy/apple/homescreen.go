package apple

import "rollcall/policy/document"

// folderPage is how many icons a page of a folder shows on an iPhone.
const folderPage = 9

// homeScreen is the layout of the home screen, which people then cannot change.
func (c *compiler) homeScreen() {
	const pointer = "/home_screen"
	h := c.d.HomeScreen
	if h == nil || !c.able(pointer, c.feature("home_screen")) {
		return
	}
	pages := []any{}
	for i, page := range h.Pages {
		pages = append(pages, c.icons(element(pointer+"/pages", i), page))
	}
	content := document.Dict{"Pages": pages}
	if dock := c.icons(pointer+"/dock", h.Dock); len(dock) > 0 {
		content["Dock"] = dock
	}
	c.install("home_screen", "Home screen", pointer, document.Payload{Type: "com.apple.homescreenlayout", Content: content})
}

// icons leaves out apps of another platform, and folders of nothing else.
func (c *compiler) icons(pointer string, list []document.Icon) []any {
	out := []any{}
	for at, i := range list {
		switch {
		case i.BundleID != "":
			out = append(out, document.Dict{"Type": "Application", "BundleID": i.BundleID})
		case i.WebClip != "":
			if c.able(element(pointer, at)+"/web_clip", c.feature("home_screen.web_clip")) {
				out = append(out, document.Dict{"Type": "WebClip", "URL": i.WebClip})
			}
		case i.Folder != "":
			inside := c.icons(element(pointer, at)+"/icons", i.Icons)
			if len(inside) == 0 {
				continue
			}
			pages := []any{}
			for len(inside) > folderPage {
				pages, inside = append(pages, inside[:folderPage:folderPage]), inside[folderPage:]
			}
			out = append(out, document.Dict{"Type": "Folder", "DisplayName": i.Folder, "Pages": append(pages, inside)})
		}
	}
	return out
}
