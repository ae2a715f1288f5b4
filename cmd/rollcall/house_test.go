package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// root is the repository, seen from this package.
const root = "../.."

// floors say which rooms a room may import: those below it, and what is named
// beside it. A sub-package belongs to its room.
var floors = map[string]int{"enroll": 1, "certs": 1, "policy": 2, "mdm": 3, "android": 3, "dep": 4, "admin": 5, "storage": 5, "cmd": 6}

// only says who may import a library, and why nobody else.
var only = []struct {
	library string
	rooms   []string // package paths, or rooms with a trailing /...
	why     string
}{
	{"github.com/micromdm/plist", []string{"mdm/plist", "sim/..."}, "it recurses without limit; mdm/plist is the bounded door"},
	{"go.mozilla.org/pkcs7", []string{"certs/cms", "sim/..."}, "it recurses without limit; certs/cms is the bounded door"},
	{"github.com/sideshow/apns2", []string{"mdm/apns"}, "its defaults are wrong for MDM; mdm/apns sets them"},
	{"github.com/gorilla/mux", []string{"cmd/rollcall/app", "admin"}, "protocol rooms offer plain net/http handlers"},
	{"github.com/jmoiron/sqlx", []string{"storage/..."}, "SQL stays in storage"},
	{"github.com/lib/pq", []string{"storage/..."}, "SQL stays in storage"},
	{"modernc.org/sqlite", []string{"storage/..."}, "SQL stays in storage"},
	{"database/sql", []string{"storage/...", "cmd/rollcall/bench"}, "SQL stays in storage"},
	{"net/http", []string{"certs/scep", "mdm/...", "admin/...", "dep/...", "android/...", "cmd/...", "sim/..."}, "enroll and policy know no HTTP"},
	{"github.com/wneessen/go-mail", []string{"admin/mail"}, "messages to people leave by one door"},
	{"rollcall/storage", []string{"cmd/...", "storage/..."}, "rooms name the interfaces they need; cmd wires"},
	{"rollcall/sim", []string{"cmd/...", "sim/..."}, "the simulators are peers, not parts"},
}

func within(pkg string, rooms []string) bool {
	for _, r := range rooms {
		if prefix, ok := strings.CutSuffix(r, "/..."); ok && (pkg == prefix || strings.HasPrefix(pkg, prefix+"/")) || pkg == r {
			return true
		}
	}
	return false
}

func room(pkg string) string {
	first, _, _ := strings.Cut(pkg, "/")
	return first
}

// TestImports holds the arrows of the house: they run down only, and some doors
// have one key.
func TestImports(t *testing.T) {
	packages := 0
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2 || d.Name() == "testdata" && p != filepath.Join(root, "testdata")) {
			if d != nil && d.IsDir() && err == nil {
				return filepath.SkipDir
			}
			return err
		}
		if d.IsDir() || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		pkg := path.Dir(filepath.ToSlash(rel))
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		packages++
		for _, i := range f.Imports {
			imported, _ := strconv.Unquote(i.Path.Value)
			checkImport(t, pkg, imported)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if packages < 50 {
		t.Fatalf("only %d files were looked at; is %s the repository?", packages, root)
	}
}

func checkImport(t *testing.T, pkg, imported string) {
	for _, rule := range only {
		if (imported == rule.library || strings.HasPrefix(imported, rule.library+"/")) && !within(pkg, rule.rooms) {
			t.Errorf("%s imports %s: %s", pkg, imported, rule.why)
		}
	}
	inner, ours := strings.CutPrefix(imported, "rollcall/")
	if !ours || room(inner) == room(pkg) {
		return
	}
	if room(pkg) == "sim" {
		t.Errorf("%s imports %s: sim knows the wire only", pkg, imported)
		return
	}
	if room(inner) == "sim" {
		return // the rule above says who may
	}
	from, to := floors[room(pkg)], floors[room(inner)]
	if from == 0 || to == 0 {
		t.Errorf("%s imports %s: one of them is no room of the house", pkg, imported)
	} else if to > from || to == from && room(pkg) != "storage" {
		// storage implements the interfaces of its neighbours.
		t.Errorf("%s (floor %d) imports %s (floor %d): arrows run down only", pkg, from, imported, to)
	}
}

// TestPackagesHaveDoc wants a doc.go in each package, so that opening a folder
// tells what it is.
func TestPackagesHaveDoc(t *testing.T) {
	dirs := map[string]bool{}
	filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(p, ".go") && !strings.HasSuffix(p, "_test.go") {
			dirs[filepath.Dir(p)] = true
		}
		return err
	})
	for dir := range dirs {
		if filepath.Base(filepath.Dir(dir)) == "cmd" {
			continue // a command's doc is in main.go
		}
		if _, err := os.Stat(filepath.Join(dir, "doc.go")); err != nil {
			t.Errorf("%s has no doc.go", dir)
		}
	}
}
