package enroll

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
)

// constantsOfType reads the string constants of a type from a source file, so
// that a new one cannot be forgotten in a table.
func constantsOfType(t *testing.T, file, typ string) map[string]string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, d := range parsed.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, s := range g.Specs {
			v := s.(*ast.ValueSpec)
			if name, ok := v.Type.(*ast.Ident); !ok || name.Name != typ {
				continue
			}
			for i, name := range v.Names {
				text, err := strconv.Unquote(v.Values[i].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				found[text] = name.Name
			}
		}
	}
	return found
}

func TestReasons(t *testing.T) {
	codes := constantsOfType(t, "codes.go", "Code")
	if len(codes) < 20 {
		t.Fatalf("only %d codes found", len(codes))
	}
	rows := map[Code]int{}
	for _, r := range Reasons {
		if rows[r.Code]++; rows[r.Code] == 2 {
			t.Errorf("%s has two rows", r.Code)
		}
		if _, known := codes[string(r.Code)]; !known {
			t.Errorf("%s has a row and no constant", r.Code)
		}
		for what, text := range map[string]string{"admin": r.Admin, "fix": r.Fix, "person": r.Person} {
			if strings.TrimSpace(text) != text || text == "" || !strings.HasSuffix(text, ".") {
				t.Errorf("%s: the text for %s is no sentence: %q", r.Code, what, text)
			}
		}
		if r.Code.Reason() != r {
			t.Errorf("%s: Reason is %+v", r.Code, r.Code.Reason())
		}
	}
	for code, name := range codes {
		if rows[Code(code)] == 0 {
			t.Errorf("%s (%q) has no row", name, code)
		}
		outcome := Code(code).Outcome()
		if !strings.HasPrefix(code, string(outcome)+".") || !strings.HasPrefix(strings.ToLower(name), string(outcome)) {
			t.Errorf("%s (%q) has the outcome %s", name, code, outcome)
		}
	}
	if r := Code("deny.future").Reason(); r.Code != "deny.future" || r.Admin != "deny.future" {
		t.Errorf("a code without a row is told as %+v", r)
	}
}

func TestCodeOutcome(t *testing.T) {
	for code, want := range map[Code]Outcome{
		"allow.x": OutcomeAllow, "hold.x": OutcomeHold, "deny.x": OutcomeDeny, "error.x": OutcomeError,
		"": OutcomeError, "allow": OutcomeError, "allowed.x": OutcomeError, "ALLOW.x": OutcomeError, "x.allow.y": OutcomeError, "hold-x": OutcomeError,
	} {
		if got := code.Outcome(); got != want {
			t.Errorf("%q: %s, want %s", code, got, want)
		}
		if (Decision{Outcome: code.Outcome()}).Allowed() != (want == OutcomeAllow) {
			t.Errorf("%q: allowed is wrong", code)
		}
	}
}

func TestListsOfConstants(t *testing.T) {
	for typ, list := range map[string][]string{"Mode": texts(Modes), "State": texts(States), "Platform": texts(Platforms), "Ownership": texts(Ownerships),
		"Channel": texts(Channels), "Evidence": texts(Evidences), "ApprovalState": texts(ApprovalStates), "RuleAction": texts(RuleActions)} {
		file := map[string]string{"Mode": "attempt.go", "Channel": "attempt.go", "Evidence": "attempt.go", "ApprovalState": "approval.go", "RuleAction": "rules.go"}[typ]
		if file == "" {
			file = "device.go"
		}
		constants := constantsOfType(t, file, typ)
		for _, text := range list {
			if constants[text] == "" {
				t.Errorf("%s %q is listed twice or is no constant", typ, text)
			}
			delete(constants, text)
		}
		if len(constants) > 0 {
			t.Errorf("%s: not listed: %v", typ, constants)
		}
	}
}
