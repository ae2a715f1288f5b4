package schematest

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// The files, seen from the repository.
const (
	schemaFile       = "../shared/data/apple-schema.json"
	restrictionsFile = "../shared/data/apple-restrictions.tsv"
)

// noSchema leaves the validation out on purpose.
const noSchema = "ROLLCALL_NO_SHARED"

// Schema is Apple's description.
type Schema struct {
	Profiles     map[string]Part
	Commands     map[string]Part
	Errors       map[string]Part
	Declarations map[string]Part
	Status       map[string]Part
	Restrictions map[string]Restriction // by key
}

// Part describes a payload, a command, a declaration, an error or a status
// item.
type Part struct {
	Keys []Key
	OS   map[string]Support
}

// Key is a key that a dictionary may have.
type Key struct {
	Name     string                       `json:"k"`
	Type     string                       `json:"t"`
	Required bool                         `json:"req"`
	Enum     []any                        `json:"enum"`
	Format   string                       `json:"fmt"`
	Range    *struct{ Min, Max *float64 } `json:"range"`
	OS       map[string]Support           `json:"os"`
	Sub      []Key                        `json:"sub"`
}

// Support says where a part or a key is understood.
type Support struct {
	Introduced string   // "n/a": not on this system
	Removed    string   // with this version
	Deprecated string   // with this version
	Supervised bool     // only there
	UE         string   // user enrollment: "allowed", "forbidden", "ignored", "required" or empty
	Enroll     []string // declarations: "supervised", "device", "user", "local"; empty: all
}

// Restriction is a line of the table of restrictions, which is newer than the
// schema.
type Restriction struct {
	Key            string
	Type           string // "boolean", "integer", ...
	Introduced     string
	Deprecated     string
	Supervised     bool
	UserEnrollment bool
	Note           string // "unsup-deprecated"
}

var load = sync.OnceValues(func() (*Schema, error) {
	root, err := repository()
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(root, schemaFile))
	if err != nil {
		return nil, err
	}
	var s Schema
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, err
	}
	if err := s.readRestrictions(filepath.Join(root, restrictionsFile)); err != nil {
		return nil, err
	}
	return &s, s.correct()
})

// repository is the folder of go.mod above the test.
func repository() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(dir, "go.mod")); missing == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}

// Load gives the schema; nil where it was left out on purpose
// (ROLLCALL_NO_SHARED=1). It is shared, and not to be changed.
func Load(t testing.TB) *Schema {
	t.Helper()
	s, err := load()
	if errors.Is(err, fs.ErrNotExist) && os.Getenv(noSchema) == "1" {
		t.Logf("%s is missing and %s=1: nothing was validated", schemaFile, noSchema)
		return nil
	}
	if err != nil {
		t.Fatalf("Apple's schema cannot be read (%v). It belongs at %s, seen from the repository; set %s=1 to do without.", err, schemaFile, noSchema)
	}
	return s
}

func (s *Schema) readRestrictions(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma = '\t'
	rows, err := r.ReadAll()
	if err != nil || len(rows) < 100 {
		return fmt.Errorf("%s: %d rows, %v", path, len(rows), err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	s.Restrictions = map[string]Restriction{}
	for _, row := range rows[1:] {
		cell := func(name string) string { return row[column[name]] }
		s.Restrictions[cell("key")] = Restriction{Key: cell("key"), Type: cell("type"), Introduced: cell("ios_introduced"), Deprecated: cell("ios_deprecated"),
			Supervised: cell("supervised_only") == "Y", UserEnrollment: cell("user_enrollment") == "Y", Note: cell("note1")}
	}
	return nil
}

// correct sets right what is known to be wrong or too old in the schema.
func (s *Schema) correct() error {
	// Restrictions that are newer than it.
	access := s.Profiles["com.apple.applicationaccess"]
	known := map[string]bool{}
	for _, k := range access.Keys {
		known[k.Name] = true
	}
	for _, r := range s.Restrictions {
		if known[r.Key] || strings.HasPrefix(r.Type, "[") {
			continue
		}
		support := Support{Introduced: r.Introduced, Deprecated: r.Deprecated, Supervised: r.Supervised, UE: "forbidden"}
		if r.UserEnrollment {
			support.UE = "allowed"
		}
		access.Keys = append(access.Keys, Key{Name: r.Key, Type: r.Type, OS: map[string]Support{"iOS": support}})
	}
	s.Profiles["com.apple.applicationaccess"] = access

	// An icon of the home screen that is an app is an "Application" (Apple:
	// HomeScreenLayout.IconItem, and the schema since November 2025).
	corrected := 0
	var visit func([]Key)
	visit = func(keys []Key) {
		for i, k := range keys {
			if k.Name == "Type" && fmt.Sprint(k.Enum) == "[App Folder WebClip]" {
				keys[i].Enum = []any{"Application", "Folder", "WebClip"}
				corrected++
			}
			visit(k.Sub)
		}
	}
	visit(s.Profiles["com.apple.homescreenlayout"].Keys)
	if corrected == 0 {
		return errors.New("the schema of the home screen needs no correction any more")
	}
	return nil
}
