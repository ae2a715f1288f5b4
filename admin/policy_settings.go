package admin

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/policy/android"
	"rollcall/policy/apple"
	"rollcall/policy/document"
)

// settingView is a field of the policy document, and what it becomes.
type settingView struct {
	Pointer string               `json:"pointer" doc:"JSON pointer into the document; elements of lists have no index." example:"/restrictions/camera"`
	Area    document.Area        `json:"area,omitempty" enum:"hardware,apps,data,device" doc:"What a restriction is about."`
	Apple   []appleSettingView   `json:"apple,omitempty" doc:"What it becomes on iPhone and iPad. Absent: what stands above it says so."`
	Android []androidSettingView `json:"android,omitempty" doc:"What it becomes on Android. Absent: what stands above it says so."`
}

type appleSettingView struct {
	Key            string `json:"key,omitempty" doc:"Payload, declaration, command or key of one. Absent: Apple has no such setting." example:"allowCamera"`
	Value          any    `json:"value,omitempty" doc:"Written where a restriction is denied or required."`
	Supervised     bool   `json:"supervised" doc:"Only supervised devices honour it."`
	UserEnrollment bool   `json:"user_enrollment" doc:"Personal devices in user enrollment honour it."`
	MinOS          string `json:"min_os,omitempty" doc:"Version of iOS and iPadOS that it needs."`
	Before         string `json:"before,omitempty" doc:"Only on versions before this one."`
	Deprecated     string `json:"deprecated,omitempty" doc:"By Apple, from this version on; it still works."`
	Caveat         string `json:"caveat,omitempty"`
}

type androidSettingView struct {
	Field      string                `json:"field,omitempty" doc:"Of the Android Management policy. Absent: Android has no such setting." example:"screenCaptureDisabled"`
	When       string                `json:"when,omitempty" doc:"The value it is about. Absent: deny or require."`
	Value      any                   `json:"value,omitempty" doc:"What is written."`
	Modes      []document.Management `json:"modes,omitempty" doc:"Management modes in which it works. Absent: in all."`
	MinAPI     int                   `json:"min_api_level,omitempty"`
	Permission bool                  `json:"permission,omitempty" doc:"Google has to allow it to the project."`
	Caveat     string                `json:"caveat,omitempty"`
}

// policySettings declares what the fields of documents become.
func (r routes) policySettings() {
	settings := documentSettings()
	op := huma.Operation{OperationID: "list-policy-settings", Method: http.MethodGet, Path: "/policy-settings", Tags: []string{"Policies"}, Summary: "List what policies can say, and what it becomes",
		Description: "Every field of the document in its order, with what it becomes on iPhone, iPad and Android and what a device needs to honour it, from the tables of the compilers. Types and bounds are in the schema."}
	add(r, RoleViewer, op, func(context.Context, *struct{}) (*body[list[settingView]], error) {
		return &body[list[settingView]]{list[settingView]{Items: settings}}, nil
	})
}

// documentSettings gathers the tables of the compilers.
func documentSettings() []settingView {
	places := document.Places()
	out, at := make([]settingView, len(places)), make(map[string]*settingView, len(places))
	for i, p := range places {
		out[i] = settingView{Pointer: p.Pointer, Area: p.Area}
		at[p.Pointer] = &out[i]
	}
	// of is the setting that a row of a table is about; a row may be about a part
	// of a list that is no field of its own.
	of := func(pointer string) *settingView {
		for at[pointer] == nil {
			pointer = pointer[:strings.LastIndexByte(pointer, '/')]
		}
		return at[pointer]
	}
	for _, row := range apple.Restrictions {
		s := of("/restrictions/" + row.Name)
		s.Apple = append(s.Apple, appleSettingView{Key: row.Key, Value: row.Value, Supervised: row.Supervised, UserEnrollment: row.UserEnrollment, MinOS: row.MinOS, Deprecated: row.Deprecated, Caveat: row.Caveat})
	}
	for _, f := range apple.Features {
		s := of("/" + strings.ReplaceAll(f.Name, ".", "/"))
		s.Apple = append(s.Apple, appleSettingView{Key: strings.TrimSpace(f.Type + " " + f.Key), Supervised: f.Supervised, UserEnrollment: f.UserEnrollment, MinOS: f.MinOS, Before: f.Before, Caveat: f.Caveat})
	}
	for _, row := range android.Restrictions {
		s := of("/restrictions/" + row.Name)
		s.Android = append(s.Android, androidSettingView{Field: row.Field, When: row.When, Value: row.Value, Modes: row.Modes, MinAPI: row.MinAPI, Permission: row.Permission, Caveat: row.Caveat})
	}
	for _, f := range android.Features {
		s := of(f.Pointer)
		s.Android = append(s.Android, androidSettingView{Field: f.Field, Modes: f.Modes, MinAPI: f.MinAPI, Caveat: f.Caveat})
	}
	return out
}
