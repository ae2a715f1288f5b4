package plist

import (
	"bytes"
	"encoding/xml"
	"testing"
	"time"
)

var corpus = []string{
	tokenUpdate,
	idle,
	cyclicBinary,
	doc(nested("<array>", "</array>", 40)),
	doc(`<dict><key>a</key><array><dict><key>b</key><data>AAEC</data></dict><real>-1e3</real></array></dict>`),
	doc(`<string>a<![CDATA[<dict>]]><!-- </string> -->&amp;&#x41;</string>`),
	doc("<!-- <!-- --><date>2026-11-22T08:00:00+01:00</date>"),
	`<!DOCTYPE plist [<!ENTITY a "b">]><plist><string>&a;</string></plist>`,
	`<!DOCTYPE plist "a>b" 'c'><plist version='1.0' ><true></true></plist >`,
	`<plist><integer>18446744073709551615</integer></plist>`,
	`<plist a="></plist>"><x:array/><true/></plist>`,
}

// FuzzDecode holds the promise that the scan and the XML decoder see the same
// elements: whatever the scan lets through is no deeper and no longer for the
// decoder, even where the decoder then gives up half way.
func FuzzDecode(f *testing.F) {
	if len(corpus) < 10 {
		f.Fatalf("corpus has %d lists", len(corpus))
	}
	for _, c := range corpus {
		f.Add([]byte(c))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 64<<10 {
			return
		}
		text, err := check(data, Limits{})
		if err != nil {
			return
		}
		depth, elements := 0, 0
		decoder := xml.NewDecoder(bytes.NewReader(text))
		for {
			token, err := decoder.Token()
			if err != nil {
				break // the end, or more than the scan checks: Decode finds it too
			}
			switch token := token.(type) {
			case xml.StartElement:
				if elementOf([]byte(token.Name.Local)) == elementNone || token.Name.Space != "" {
					t.Fatalf("scan passed element %v", token.Name)
				}
				depth++
				elements++
				if depth > DefaultMaxDepth+2 || elements > DefaultMaxElements {
					t.Fatalf("scan passed depth %d, %d elements", depth, elements)
				}
			case xml.EndElement:
				depth--
			}
		}
		var v any
		if err := Decode(data, &v); err != nil {
			return
		}
		if hasOddDate(v) {
			return
		}
		once, err := Encode(v)
		if err != nil {
			t.Fatalf("encode what was decoded: %v", err)
		}
		var w any
		if err := Decode(once, &w); err != nil {
			t.Fatalf("decode what was encoded: %v\n%s", err, once)
		}
		twice, err := Encode(w)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("round trip: %v\n%s\n%s", err, once, twice)
		}
	})
}

// hasOddDate finds dates whose year leaves four digits in UTC.
func hasOddDate(v any) bool {
	switch v := v.(type) {
	case time.Time:
		return v.UTC().Year() > 9999 || v.UTC().Year() < 0
	case []any:
		for _, e := range v {
			if hasOddDate(e) {
				return true
			}
		}
	case map[string]any:
		for _, e := range v {
			if hasOddDate(e) {
				return true
			}
		}
	}
	return false
}
