package apple_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"rollcall/enroll"
	"rollcall/policy/apple"
	"rollcall/policy/apple/schematest"
	"rollcall/policy/document"
)

// TestAnyMixture: whatever policies come together and whatever the device is,
// what it gets is valid for it, under keys of its own, and every note and item
// points to something in the document.
func TestAnyMixture(t *testing.T) {
	s := schematest.Load(t)
	if s == nil {
		return
	}
	names := slices.Sorted(maps.Keys(features))
	rapid.Check(t, func(r *rapid.T) {
		var sources []document.Source
		for i, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 8, rapid.ID).Draw(r, "features") {
			sources = append(sources, document.Source{PolicyID: name, Policy: name, Version: 1, Priority: i, Via: "device", Document: features[name]})
		}
		d := document.Merge(sources).Document
		device := schematest.Device{OS: rapid.SampledFrom([]string{"9.3.1", "11.4.1", "12.4", "13.0", "14.2", "15.4", "16.1", "16.7.10", "17.2.1", "18.1", "26.4"}).Draw(r, "version"),
			Supervised: rapid.Bool().Draw(r, "supervised")}
		device.UserEnrollment = !device.Supervised && rapid.Bool().Draw(r, "user enrollment")
		target := document.Target{Platform: enroll.PlatformIOS, Family: rapid.SampledFrom([]string{"", "iPhone", "iPad"}).Draw(r, "family"), OSVersion: device.OS,
			Supervised: &device.Supervised, UserEnrollment: device.UserEnrollment}
		p, notes := apple.Compile(d, target)
		for _, w := range wrong(t, s, device, p) {
			if !strings.Contains(w, "com.apple.cellular") { // what an admin wrote is sent as it is
				r.Errorf("%s", w)
			}
		}
		var pointers []string
		keys := map[string]bool{}
		put := func(key, title, pointer string) {
			if keys[key] || title == "" {
				r.Errorf("the key %q is there twice, or has no title", key)
			}
			keys[key], pointers = true, append(pointers, pointer)
		}
		for _, f := range p.Profiles {
			put("profile:"+f.Key, f.Title, f.Pointer)
		}
		for _, f := range p.Settings {
			put("setting:"+f.Key, f.Title, f.Pointer)
		}
		for _, f := range p.Apps {
			put("app:"+f.Key, f.Title, f.Pointer)
		}
		for _, n := range notes {
			pointers = append(pointers, n.Pointer)
		}
		tree := treeOf(r, d)
		for _, pointer := range pointers {
			if !pointsInto(tree, pointer) {
				r.Errorf("%s points nowhere", pointer)
			}
		}
	})
}

func treeOf(r *rapid.T, d document.Document) any {
	b, err := json.Marshal(d)
	if err != nil {
		r.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(b, &tree); err != nil {
		r.Fatal(err)
	}
	return tree
}

// pointsInto follows a JSON pointer; its last part may be a field that is left
// out.
func pointsInto(tree any, pointer string) bool {
	parts := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i, part := range parts {
		switch v := tree.(type) {
		case map[string]any:
			next, there := v[part]
			if !there {
				return i == len(parts)-1
			}
			tree = next
		case []any:
			n, err := strconv.Atoi(part)
			if err != nil || n >= len(v) {
				return false
			}
			tree = v[n]
		default:
			return false
		}
	}
	return true
}
