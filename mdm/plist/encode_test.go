package plist

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestEncode(t *testing.T) {
	value := map[string]any{
		"RequestType": "InstallProfile",
		"Payload":     []byte{0, 1, 2, 3},
		"Count":       -3,
		"Ratio":       0.5,
		"On":          true,
		"At":          time.Date(2026, 11, 22, 9, 0, 0, 0, time.FixedZone("", 3600)),
		"Text":        "a<b>&\"c\"\r\nü",
		"List":        []any{"x", false, map[string]any{}},
	}
	list, err := Encode(value)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(list), `<?xml version="1.0" encoding="UTF-8"?>`) {
		t.Errorf("starts with %.40q", list)
	}
	again, err := Encode(value)
	if err != nil || string(again) != string(list) {
		t.Errorf("not deterministic: %v", err)
	}
	got, err := DecodeDict(list)
	if err != nil {
		t.Fatal(err)
	}
	value["Count"] = int64(-3)
	value["At"] = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	if diff := cmp.Diff(value, got); diff != "" {
		t.Error(diff)
	}
}

func TestEncodeStruct(t *testing.T) {
	type command struct {
		RequestType string  `plist:"RequestType"`
		Identifier  string  `plist:"Identifier,omitempty"`
		Pin         *string `plist:"PIN,omitempty"`
	}
	list, err := Encode(command{RequestType: "ProfileList"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeDict(list)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"RequestType": "ProfileList"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestEncodeRefusesNil(t *testing.T) {
	for name, v := range map[string]any{
		"nil":                nil,
		"nil in a map":       map[string]any{"a": nil},
		"nil in a list":      []any{nil},
		"nil pointer":        struct{ P *string }{},
		"type without a tag": map[string]any{"a": make(chan int)},
	} {
		if list, err := Encode(v); err == nil {
			t.Errorf("%s: encoded as %s", name, list)
		}
	}
}
