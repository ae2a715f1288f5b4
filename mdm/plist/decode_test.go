package plist

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const head = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
`

// doc wraps a value the way devices do.
func doc(value string) string { return head + value + "\n</plist>\n" }

// tokenUpdate is about 400 bytes, as a device writes it.
var tokenUpdate = doc(`<dict>
	<key>MessageType</key>
	<string>TokenUpdate</string>
	<key>PushMagic</key>
	<string>7C53-magic</string>
	<key>Token</key>
	<data>
	AAEC
	Aw==
	</data>
	<key>AwaitingConfiguration</key>
	<true/>
	<key>New &amp; unknown</key>
	<array/>
</dict>`)

type message struct {
	MessageType string  `plist:"MessageType"`
	PushMagic   string  `plist:"PushMagic"`
	Token       []byte  `plist:"Token"`
	Awaiting    *bool   `plist:"AwaitingConfiguration"`
	Topic       *string `plist:"Topic"`
}

func TestDecodeStruct(t *testing.T) {
	got := message{PushMagic: "old", Token: []byte("old"), Topic: new(string)}
	if err := Decode([]byte("\xef\xbb\xbf"+tokenUpdate), &got); err != nil {
		t.Fatal(err)
	}
	yes := true
	want := message{MessageType: "TokenUpdate", PushMagic: "7C53-magic", Token: []byte{0, 1, 2, 3}, Awaiting: &yes}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeDictTypes(t *testing.T) {
	got, err := DecodeDict([]byte(doc(`<dict>
		<key>string</key><string>a&lt;b <![CDATA[</string><dict>]]><!-- <array> --> ü</string>
		<key>empty string</key><string/>
		<key>true</key><true/><key>false</key><false></false>
		<key>int</key><integer> 42 </integer>
		<key>negative</key><integer>-7</integer>
		<key>largest</key><integer>18446744073709551615</integer>
		<key>real</key><real>1.5</real>
		<key>data</key><data>	AAE
		CAw==
		</data>
		<key>no data</key><data></data>
		<key>date</key><date>2026-11-22T08:00:00Z</date>
		<key>array</key><array><integer>1</integer><dict><key>n</key><integer>2</integer></dict></array>
		<!-- <key>hidden</key> -->
		<key>twice</key><integer>1</integer>
		<key>twice</key><integer>2</integer>
	</dict>`)))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"string": "a<b </string><dict> ü", "empty string": "",
		"true": true, "false": false,
		"int": int64(42), "negative": int64(-7), "largest": uint64(math.MaxUint64),
		"real": 1.5, "data": []byte{0, 1, 2, 3}, "no data": []byte(nil),
		"date":  time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC),
		"array": []any{int64(1), map[string]any{"n": int64(2)}},
		"twice": int64(2),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// cyclicBinary is an array whose only element is itself, in 43 bytes; the
// library follows it until the stack overflows.
const cyclicBinary = "bplist00" + "\xa1\x00" + "\x08" +
	"\x00\x00\x00\x00\x00\x00\x01\x01" +
	"\x00\x00\x00\x00\x00\x00\x00\x01" +
	"\x00\x00\x00\x00\x00\x00\x00\x00" +
	"\x00\x00\x00\x00\x00\x00\x00\x0a"

func nested(open, end string, n int) string {
	return strings.Repeat(open, n) + strings.Repeat(end, n)
}

func TestRefuses(t *testing.T) {
	if len(cyclicBinary) != 43 {
		t.Fatalf("cyclic list has %d bytes", len(cyclicBinary))
	}
	for name, c := range map[string]struct {
		body string
		want error
	}{
		"nothing":                       {"", ErrSyntax},
		"white space":                   {" \n", ErrSyntax},
		"JSON":                          {`{"a":1}`, ErrSyntax},
		"cyclic binary":                 {cyclicBinary, ErrBinary},
		"binary after mark and space":   {"\xef\xbb\xbf \n" + cyclicBinary, ErrBinary},
		"binary of another version":     {"bplist1x", ErrBinary},
		"UTF-16":                        {"\xff\xfe<\x00p\x00", ErrEncoding},
		"latin 1":                       {doc("<string>\xe4</string>"), ErrEncoding},
		"declared latin 1":              {`<?xml version="1.0" encoding="ISO-8859-1"?><plist><true/></plist>`, ErrSyntax},
		"33 levels":                     {doc(nested("<array>", "</array>", 33)), ErrTooDeep},
		"33 levels, the last closed":    {doc(nested("<array>", "</array>", 32)[:32*7] + "<array/>" + strings.Repeat("</array>", 32)), ErrTooDeep},
		"33 dicts":                      {doc(nested("<dict><key>k</key>", "</dict>", 33)), ErrTooDeep},
		"17 MB of levels":               {doc(strings.Repeat("<array>", 17<<20/7)), ErrTooLarge},
		"16 MB of levels":               {doc(strings.Repeat("<array>", 15<<20/7)), ErrTooDeep},
		"nested plist":                  {head + nested("<plist>", "</plist>", 40), ErrSyntax},
		"levels with a prefix":          {doc(nested("<x:array>", "</x:array>", 40)), ErrSyntax},
		"levels with attributes":        {doc(nested(`<array a=">">`, "</array>", 40)), ErrSyntax},
		"levels inside of a string":     {doc("<string>" + nested("<array>", "</array>", 40) + "</string>"), ErrSyntax},
		"levels after a closed comment": {doc("<!-- --><!---->" + nested("<array>", "</array>", 40) + "<!-- -->"), ErrTooDeep},
		"levels after a CDATA":          {doc("<array><string><![CDATA[<!--]]></string>" + nested("<array>", "</array>", 40) + "</array>"), ErrTooDeep},
		"CDATA between elements":        {doc("<array><![CDATA[ ]]></array>"), ErrSyntax},
		"open comment":                  {doc("<!-- <true/>"), ErrSyntax},
		"open CDATA":                    {doc("<string><![CDATA[ </string>"), ErrSyntax},
		"too many elements":             {doc("<array>" + strings.Repeat("<true/>", DefaultMaxElements) + "</array>"), ErrTooMany},
		"entity": {`<!DOCTYPE plist [<!ENTITY a "b">]><plist><string>&a;</string></plist>`,
			ErrDoctype},
		"entity in quotes":         {`<!DOCTYPE plist "[" [<!ENTITY a "b">]><plist><true/></plist>`, ErrDoctype},
		"internal subset":          {`<!DOCTYPE plist []><plist><true/></plist>`, ErrDoctype},
		"entity alone":             {`<!ENTITY a "b"><plist><true/></plist>`, ErrDoctype},
		"two DOCTYPEs":             {`<!DOCTYPE plist><!DOCTYPE plist><plist><true/></plist>`, ErrDoctype},
		"DOCTYPE inside":           {`<plist><!DOCTYPE plist><true/></plist>`, ErrDoctype},
		"open DOCTYPE":             {`<!DOCTYPE plist "><plist><true/></plist>`, ErrDoctype},
		"unknown entity":           {doc("<string>&lol;</string>"), ErrSyntax},
		"no root":                  {"<dict/>", ErrSyntax},
		"empty root":               {head + "</plist>", ErrSyntax},
		"closed root":              {"<plist/>", ErrSyntax},
		"two values":               {doc("<true/><false/>"), ErrSyntax},
		"two roots":                {doc("<true/>") + "<plist><true/></plist>", ErrSyntax},
		"text after the root":      {doc("<true/>") + "x", ErrSyntax},
		"cut off":                  {tokenUpdate[:len(tokenUpdate)-12], ErrSyntax},
		"cut off in a tag":         {head + "<dict", ErrSyntax},
		"last byte <":              {head + "<", ErrSyntax},
		"mismatched tags":          {doc("<array><dict></array></dict>"), ErrSyntax},
		"mismatched text tags":     {doc("<string>a</data>"), ErrSyntax},
		"end without start":        {"</plist>", ErrSyntax},
		"unknown element":          {doc("<set/>"), ErrSyntax},
		"key without a value":      {doc("<dict><key>a</key></dict>"), ErrSyntax},
		"two keys":                 {doc("<dict><key>a</key><key>b</key><true/></dict>"), ErrSyntax},
		"value without a key":      {doc("<dict><true/></dict>"), ErrSyntax},
		"key in an array":          {doc("<array><key>a</key></array>"), ErrSyntax},
		"text in a dict":           {doc("<dict>a</dict>"), ErrSyntax},
		"processing inside":        {doc("<?php ?><true/>"), ErrSyntax},
		"integer that is none":     {doc("<integer>secret</integer>"), ErrSyntax},
		"integer out of range":     {doc("<integer>18446744073709551616</integer>"), ErrSyntax},
		"data that is not base 64": {doc("<data>secret!</data>"), ErrSyntax},
		"date that is none":        {doc("<date>secret</date>"), ErrSyntax},
		"real that is none":        {doc("<real>secret</real>"), ErrSyntax},
	} {
		t.Run(name, func(t *testing.T) {
			var v any
			err := Decode([]byte(c.body), &v)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error quotes the list: %v", err)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	body := []byte(doc("<array><array><true/></array></array>"))
	for name, c := range map[string]struct {
		limits Limits
		want   error
	}{
		"defaults":      {Limits{}, nil},
		"just enough":   {Limits{Bytes: len(body), Depth: 2, Elements: 4}, nil},
		"a byte less":   {Limits{Bytes: len(body) - 1}, ErrTooLarge},
		"a level less":  {Limits{Depth: 1}, ErrTooDeep},
		"one less":      {Limits{Elements: 3}, ErrTooMany},
		"32 by default": {Limits{Depth: DefaultMaxDepth}, nil},
	} {
		var v any
		if err := Decode(body, &v, c.limits); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	var v any
	if err := Decode([]byte(doc(nested("<array>", "</array>", 32))), &v); err != nil {
		t.Errorf("32 levels: %v", err)
	}
}

func TestWrongTypes(t *testing.T) {
	values := map[string]string{
		"string":  "<string>secret</string>",
		"integer": "<integer>5</integer>",
		"real":    "<real>1</real>",
		"data":    "<data>c2VjcmV0</data>",
		"date":    "<date>2026-11-22T08:00:00Z</date>",
		"bool":    "<true/>",
		"array":   "<array><string>secret</string></array>",
		"dict":    "<dict><key>secret</key><string>secret</string></dict>",
	}
	fits := map[string]any{
		"string": new(string), "integer": new(int), "real": new(float64), "data": new([]byte),
		"date": new(time.Time), "bool": new(bool), "array": new([]string), "dict": new(map[string]string),
	}
	for is, value := range values {
		for want, target := range fits {
			if is == "dict" && want == "date" {
				continue // time.Time is a struct without fields to the library: it stays zero
			}
			err := Decode([]byte(doc(value)), target)
			if is == want {
				if err != nil {
					t.Errorf("%s: %v", is, err)
				}
				continue
			}
			if !errors.Is(err, ErrType) {
				t.Errorf("%s into %T: got %v, want %v", is, target, err, ErrType)
				continue
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error quotes the list: %v", err)
			}
		}
	}
	if err := Decode([]byte(doc("<integer>-1</integer>")), new(uint)); !errors.Is(err, ErrType) {
		t.Errorf("negative into uint: %v", err)
	}
	if _, err := DecodeDict([]byte(doc("<array/>"))); !errors.Is(err, ErrType) {
		t.Errorf("array as dict: %v", err)
	}
}

func TestDecodeTarget(t *testing.T) {
	for _, v := range []any{nil, message{}, (*message)(nil)} {
		if err := Decode([]byte(tokenUpdate), v); err == nil {
			t.Errorf("%T: no error", v)
		}
	}
	// The library would panic on both.
	list := []string{"old", "older"}
	if err := Decode([]byte(doc("<array><string>new</string></array>")), &list); err != nil || !cmp.Equal(list, []string{"new"}) {
		t.Errorf("slice: %q, %v", list, err)
	}
	dict := map[string]string{"a": "old", "b": "older"}
	if err := Decode([]byte(doc("<dict><key>a</key><string>new</string></dict>")), &dict); err != nil || !cmp.Equal(dict, map[string]string{"a": "new"}) {
		t.Errorf("map: %q, %v", dict, err)
	}
}

func BenchmarkScan(b *testing.B) {
	body := []byte(idle)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := check(body, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

const idle = head + `<dict>
	<key>Status</key>
	<string>Idle</string>
	<key>UDID</key>
	<string>00008110-000A4D1E0C8A801E</string>
	<key>EnrollmentType</key>
	<string>device</string>
</dict>
</plist>
`

func BenchmarkDecodeIdle(b *testing.B) {
	body := []byte(idle)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var v struct {
			Status string `plist:"Status"`
			UDID   string `plist:"UDID"`
		}
		if err := Decode(body, &v); err != nil {
			b.Fatal(err)
		}
	}
}
