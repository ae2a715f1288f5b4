package policy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"rollcall/policy/apple"
)

// Declaration is one declaration of Apple's declarative management as a device
// fetches it.
type Declaration struct {
	Kind        string // "activation", "asset", "configuration", "management"
	Type        string // "com.apple.configuration.passcode.settings"
	Identifier  string
	ServerToken string // hash of everything else
	Body        []byte // JSON; empty in lists
}

// DeclarationSet is what the declarations of one device are, by kind and
// identifier.
type DeclarationSet struct {
	Token        string // DeclarationsToken; empty: the device was never given any
	ChangedAt    time.Time
	Declarations []Declaration // without bodies
}

// DeclarationStore keeps the declarations of enrollments and what devices
// report about them.
type DeclarationStore interface {
	DeclarationSet(ctx context.Context, enrollmentID string) (DeclarationSet, error) // empty where there are none
	Declaration(ctx context.Context, enrollmentID, kind, identifier string) (Declaration, error)
	// DeclarativeStatus is everything the device has reported, merged.
	DeclarativeStatus(ctx context.Context, enrollmentID string) (DeclarativeStatus, error)
	// ChangeDeclarativeStatus writes what change makes of it, locked. Where the
	// device turns out to speak other declarations than before, its delivery
	// becomes due.
	ChangeDeclarativeStatus(ctx context.Context, enrollmentID string, change func(*DeclarativeStatus) error) error
}

// Declarations makes the declarations that a device is given of the planned ones.
// supported names the types it has said to know; nil: it has not said yet.
// What it does not know is left out, also from the activations that name it,
// since an activation with an unknown configuration fails as a whole.
func Declarations(planned []apple.Declaration, supported map[string]bool) ([]Declaration, error) {
	left := map[string]bool{}
	var out []Declaration
	for _, p := range planned {
		if supported != nil && !supported[p.Type] {
			left[p.Identifier] = true
		}
	}
	for _, p := range planned {
		if left[p.Identifier] {
			continue
		}
		payload := map[string]any(p.Payload)
		if named, ok := payload["StandardConfigurations"].([]any); ok && p.Kind == apple.KindActivation {
			kept := slices.DeleteFunc(slices.Clone(named), func(v any) bool { id, _ := v.(string); return left[id] })
			if len(kept) == 0 {
				continue
			}
			payload = cloned(payload)
			payload["StandardConfigurations"] = kept
		}
		d := map[string]any{"Type": p.Type, "Identifier": p.Identifier, "Payload": payload}
		if payload == nil {
			d["Payload"] = map[string]any{}
		}
		content, err := json.Marshal(d)
		if err != nil {
			return nil, fmt.Errorf("policy: declaration %s: %w", p.Identifier, err)
		}
		token := sha256.Sum256(content)
		d["ServerToken"] = hex.EncodeToString(token[:])[:40]
		body, err := json.Marshal(d)
		if err != nil {
			return nil, fmt.Errorf("policy: declaration %s: %w", p.Identifier, err)
		}
		out = append(out, Declaration{Kind: p.Kind, Type: p.Type, Identifier: p.Identifier, ServerToken: d["ServerToken"].(string), Body: body})
	}
	slices.SortFunc(out, func(a, b Declaration) int {
		return strings.Compare(a.Kind+"/"+a.Identifier, b.Kind+"/"+b.Identifier)
	})
	return out, nil
}

func cloned(m map[string]any) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// DeclarationsToken names a set of declarations of one enrollment: it changes
// when any of them does.
func DeclarationsToken(enrollmentID string, declarations []Declaration) string {
	h := sha256.New()
	fmt.Fprintln(h, enrollmentID)
	for _, d := range declarations {
		fmt.Fprintln(h, d.Kind, d.Identifier, d.ServerToken)
	}
	return hex.EncodeToString(h.Sum(nil))[:40]
}

// SyncTokens is the answer to the endpoint "tokens", and what a
// DeclarativeManagement command carries (Apple: TokensResponse).
func SyncTokens(token string, changed time.Time) []byte {
	var v struct {
		SyncTokens struct{ Timestamp, DeclarationsToken string }
	}
	v.SyncTokens.Timestamp = changed.UTC().Format(time.RFC3339)
	v.SyncTokens.DeclarationsToken = token
	b, _ := json.Marshal(v) // strings always have a form
	return b
}

// DeclarationItems is the answer to the endpoint "declaration-items": all four
// lists, also empty ones.
func DeclarationItems(set DeclarationSet) []byte {
	type item struct{ Identifier, ServerToken string }
	lists := map[string][]item{"Activations": {}, "Assets": {}, "Configurations": {}, "Management": {}}
	names := map[string]string{apple.KindActivation: "Activations", apple.KindAsset: "Assets", apple.KindConfiguration: "Configurations", apple.KindManagement: "Management"}
	for _, d := range set.Declarations {
		lists[names[d.Kind]] = append(lists[names[d.Kind]], item{d.Identifier, d.ServerToken})
	}
	b, _ := json.Marshal(map[string]any{"Declarations": lists, "DeclarationsToken": set.Token})
	return b
}
