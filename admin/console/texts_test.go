package console

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	actions    = regexp.MustCompile(`(?s)\{\{.*?\}\}`)
	tags       = regexp.MustCompile(`(?s)<[^>]*>`)
	entities   = regexp.MustCompile(`&\w+;`)
	spoken     = regexp.MustCompile(`(?:placeholder|aria-label|title|alt|label)="[^"]*[A-Za-z][^"]*"`)
	quoted     = regexp.MustCompile(`"([^"]*)"`)
	translated = regexp.MustCompile(`[({ ]t "([^"]+)"`)
	dynamic    = regexp.MustCompile(`label "([^"]+)"|"Kind" "([^"]+)"|print "([^"]+\.)"`)
)

func sources(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := fs.WalkDir(templates, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := templates.ReadFile(path)
		out[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestTextsInOnePlace: templates hold no words of their own, neither between
// tags nor in the attributes that are read out.
func TestTextsInOnePlace(t *testing.T) {
	for name, source := range sources(t) {
		plain := actions.ReplaceAllString(source, "")
		for _, attribute := range spoken.FindAllString(plain, -1) {
			t.Errorf("%s has a text of its own: %s", name, attribute)
		}
		for _, line := range strings.Split(entities.ReplaceAllString(tags.ReplaceAllString(plain, "\n"), ""), "\n") {
			if regexp.MustCompile(`\pL`).MatchString(line) {
				t.Errorf("%s has a text of its own: %q", name, strings.TrimSpace(line))
			}
		}
	}
}

// TestTextsUsed: every text that is named is there, and every one that is there
// is named.
func TestTextsUsed(t *testing.T) {
	used, prefixes := map[string]bool{}, []string{}
	for name, source := range sources(t) {
		for _, m := range translated.FindAllStringSubmatch(source, -1) {
			used[m[1]] = true
			if _, ok := texts[m[1]]; !ok && !strings.HasSuffix(m[1], ".") {
				t.Errorf("%s names the text %q, which is not there", name, m[1])
			}
		}
		for _, m := range dynamic.FindAllStringSubmatch(source, -1) {
			prefixes = append(prefixes, prefixOf(m[1]+m[2]+m[3]))
		}
		for _, m := range quoted.FindAllStringSubmatch(source, -1) {
			used[m[1]] = true
		}
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, b, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if s, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
					used[s] = true
				}
			case *ast.CallExpr:
				key, dynamic := keyOf(n)
				if dynamic {
					prefixes = append(prefixes, prefixOf(key))
				} else if _, ok := texts[key]; !ok && key != "" {
					t.Errorf("%s names the text %q, which is not there", file, key)
				}
			}
			return true
		})
	}
	for key := range texts {
		if !used[key] && !hasPrefix(key, prefixes) {
			t.Errorf("the text %q is not used", key)
		}
	}
}

func prefixOf(kind string) string { return strings.TrimSuffix(kind, ".") + "." }

// keyOf is the text that a call names as a literal, or the kind of label.
func keyOf(n *ast.CallExpr) (key string, dynamic bool) {
	at := map[string]int{"text": 0, "textOrError": 0, "label": 0, "done": 1}
	name := ""
	switch f := n.Fun.(type) {
	case *ast.Ident:
		name = f.Name
	case *ast.SelectorExpr:
		name = f.Sel.Name
	}
	i, ok := at[name]
	if !ok || i >= len(n.Args) {
		return "", false
	}
	arg := n.Args[i]
	if sum, ok := arg.(*ast.BinaryExpr); ok { // "prefix." + value
		arg, dynamic = sum.X, true
	}
	literal, ok := arg.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return "", false
	}
	key, _ = strconv.Unquote(literal.Value)
	return key, dynamic || name == "label"
}

func hasPrefix(key string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(key, p) {
			return true
		}
	}
	return false
}

func TestText(t *testing.T) {
	texts["test.rows"] = form{One: "{0} row of {1}", Other: "{0} rows of {1}"}
	defer delete(texts, "test.rows")
	for n, want := range map[int]string{0: "0 rows of a.csv", 1: "1 row of a.csv", 1234567: "1,234,567 rows of a.csv"} {
		if got := text("test.rows", n, "a.csv"); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	if _, err := textOrError("test.none"); err == nil {
		t.Error("a text that is not there is shown")
	}
}

func TestLocal(t *testing.T) {
	for path, want := range map[string]bool{
		"/console": true, "/console/devices?q=a%2Fb": true, "": false, "/": false, "/consoles": false, "//evil.example/console/": false,
		"https://evil.example/console/": false, "/console/\\evil": false, "/console\r\nX: y": false, "javascript:/console/": false, "/api/v1/devices": false,
	} {
		if got := local(path); got != want {
			t.Errorf("%q: %v", path, got)
		}
	}
}
