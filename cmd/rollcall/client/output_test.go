package client

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var hostile = []json.RawMessage{
	json.RawMessage(`{"name":"=cmd|' /C calc'!A0","user":{"email":"a@example.com"},"tags":["x","y"],"ok":true,"n":12345678901234567890}`),
	json.RawMessage(`{"name":"\u001b[31mred\u202eder","tags":[]}`),
}

var hostileColumns = columns("name", "email=user.email", "tags", "tag_count=tags.#", "ok", "n")

func TestCSV(t *testing.T) {
	var b strings.Builder
	out := &csvRows{w: csv.NewWriter(&b), cols: hostileColumns}
	if err := out.begin(); err != nil {
		t.Fatal(err)
	}
	if err := out.page(hostile); err != nil {
		t.Fatal(err)
	}
	want := "name,email,tags,tag_count,ok,n\n'=cmd|' /C calc'!A0,a@example.com,x|y,2,yes,12345678901234567890\n\x1b[31mred\u202eder,,,0,,\n"
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}

// TestTable shows nothing that a terminal would act on, and lines up pages.
func TestTable(t *testing.T) {
	var b strings.Builder
	out := &tableRows{w: &b, cols: columns("name", "tags")}
	if err := out.begin(); err != nil {
		t.Fatal(err)
	}
	for _, page := range [][]json.RawMessage{hostile[1:], {json.RawMessage(`{"name":"Zoë","tags":["x"]}`)}} {
		if err := out.page(page); err != nil {
			t.Fatal(err)
		}
	}
	want := "NAME          TAGS\n?[31mred?der  -\nZoë           x\n"
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}

func TestJSONRows(t *testing.T) {
	for items, want := range map[int]string{0: "[]\n", 1: "[\n  {\n    \"a\": 1\n  }\n]\n", 2: "[\n  {\n    \"a\": 1\n  },\n  {\n    \"a\": 1\n  }\n]\n"} {
		var b strings.Builder
		w := bufio.NewWriter(&b)
		out := &jsonRows{w: w}
		if err := out.begin(); err != nil {
			t.Fatal(err)
		}
		for range items { // each is a page
			if err := out.page([]json.RawMessage{json.RawMessage(`{"a":1}`)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := out.end(); err != nil {
			t.Fatal(err)
		}
		w.Flush()
		if d := cmp.Diff(want, b.String()); d != "" {
			t.Error(d)
		}
	}
}

func TestPaint(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	if got := paint("deny", true); got != "\x1b[31mdeny\x1b[0m" {
		t.Errorf("got %q", got)
	}
	if got := paint("deny", false); got != "deny" {
		t.Errorf("without a terminal: %q", got)
	}
	t.Setenv("NO_COLOR", "1")
	if got := paint("deny", true); got != "deny" {
		t.Errorf("with NO_COLOR: %q", got)
	}
}

func TestBar(t *testing.T) {
	var b strings.Builder
	shown := &bar{w: &b}
	shown.show("planning", 0, 0)
	shown.show("planning", 50_000, 100_000)
	shown.show("applying", 100_000, 100_000)
	shown.end()
	lines := strings.Split(b.String(), "\r")
	want := []string{"", "planning  [..............................] 0 of 0 rows", "planning  [###############...............] 50000 of 100000 rows",
		"applying  [##############################] 100000 of 100000 rows", strings.Repeat(" ", 65), ""}
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	want[4] = ""
	if d := cmp.Diff(want, lines); d != "" {
		t.Error(d)
	}
	silent := &bar{}
	silent.show("planning", 1, 2)
	silent.end()
}
