package plist

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	peer "github.com/micromdm/plist"
)

var sample = Dict{
	"s": "a <b> & \"c\"", "i": int64(-7), "r": 1.5, "b": true, "f": false, "d": []byte{0, 1, 255},
	"t": time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), "a": []any{"x", Dict{}}, "empty": []any{},
}

func TestRoundTrip(t *testing.T) {
	got, err := UnmarshalDict(Marshal(sample))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample, got); diff != "" {
		t.Error(diff)
	}
}

func TestPeerLibraryUnderstandsUsAndWeIt(t *testing.T) {
	var theirs struct {
		S string    `plist:"s"`
		I int       `plist:"i"`
		D []byte    `plist:"d"`
		T time.Time `plist:"t"`
	}
	if err := peer.Unmarshal(Marshal(sample), &theirs); err != nil {
		t.Fatal(err)
	}
	if theirs.S != sample["s"] || theirs.I != -7 || len(theirs.D) != 3 || !theirs.T.Equal(sample["t"].(time.Time)) {
		t.Errorf("peer read %+v", theirs)
	}
	b, err := peer.MarshalIndent(theirs, "\t")
	if err != nil {
		t.Fatal(err)
	}
	back, err := UnmarshalDict(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Dict{"s": sample["s"], "i": sample["i"], "d": sample["d"], "t": sample["t"]}, back); diff != "" {
		t.Error(diff)
	}
}

func TestRefuses(t *testing.T) {
	for name, body := range map[string]string{
		"binary":         "bplist00\xa1\x00",
		"no plist":       "<dict></dict>",
		"empty":          "<plist></plist>",
		"two values":     "<plist><true/><true/></plist>",
		"tail":           "<plist><true/></plist><x/>",
		"duplicate key":  "<plist><dict><key>a</key><true/><key>a</key><true/></dict></plist>",
		"key alone":      "<plist><dict><key>a</key></dict></plist>",
		"value alone":    "<plist><dict><true/></dict></plist>",
		"stray text":     "<plist><dict>x</dict></plist>",
		"bad base64":     "<plist><data>***</data></plist>",
		"bad integer":    "<plist><integer>1.5</integer></plist>",
		"unknown":        "<plist><set/></plist>",
		"true with text": "<plist><true>1</true></plist>",
		"deep":           "<plist>" + strings.Repeat("<array>", 100) + strings.Repeat("</array>", 100) + "</plist>",
	} {
		if v, err := Unmarshal([]byte(body)); err == nil {
			t.Errorf("%s: read as %v", name, v)
		}
	}
}
