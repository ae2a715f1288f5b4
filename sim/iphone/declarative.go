package iphone

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"

	"rollcall/sim/plist"
)

// declarations is the state of Declarative Device Management.
type declarations struct {
	enabled bool
	token   string            // DeclarationsToken of the last complete sync
	items   map[string]string // "configuration/<Identifier>" -> ServerToken
	failure error             // of the last sync
}

// Declarations returns the ServerToken of each declaration on the phone by
// "activation/<Identifier>", "configuration/...", "asset/..." or
// "management/...", and the error of the last synchronisation.
func (p *Phone) Declarations() (map[string]string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.ddm.items), p.ddm.failure
}

// declarativeManagement turns declarative management on, which cannot be
// undone but by unenrolling, and synchronises. Whether the synchronisation
// works is no matter of the command: it is acknowledged in any case.
func (p *Phone) declarativeManagement(ctx context.Context, c plist.Dict) (outcome, error) {
	embedded, given := c["Data"]
	raw, ok := embedded.([]byte)
	if given && !ok {
		return outcome{}, errFormat
	}
	p.change(func() { p.ddm.enabled = true })
	err := p.syncDeclarations(ctx, raw)
	p.change(func() { p.ddm.failure = err })
	if p.unenrolls(err) {
		return outcome{after: func(context.Context) { p.unenroll() }}, nil
	}
	return outcome{}, nil
}

type syncTokens struct {
	SyncTokens struct{ Timestamp, DeclarationsToken string }
}

type declarationItem struct{ Identifier, ServerToken string }

// syncDeclarations brings the declarations up to date: tokens (unless the
// command brought them), declaration-items, each new or changed declaration,
// and a status report.
func (p *Phone) syncDeclarations(ctx context.Context, embedded []byte) error {
	if embedded == nil {
		var err error
		if embedded, err = p.ask(ctx, "tokens", nil); err != nil {
			return err
		}
	}
	var tokens syncTokens
	if err := json.Unmarshal(embedded, &tokens); err != nil || tokens.SyncTokens.DeclarationsToken == "" {
		return protocolError("DDM", "tokens without DeclarationsToken: %v", err)
	}
	have, known := p.Declarations()
	if known == nil && tokens.SyncTokens.DeclarationsToken == get(p, func() string { return p.ddm.token }) {
		return nil
	}
	body, err := p.ask(ctx, "declaration-items", nil)
	if err != nil {
		return err
	}
	var manifest struct {
		Declarations      struct{ Activations, Assets, Configurations, Management *[]declarationItem }
		DeclarationsToken string
	}
	if err := json.Unmarshal(body, &manifest); err != nil {
		return protocolError("DDM", "declaration-items: %v", err)
	}
	d := manifest.Declarations
	if d.Activations == nil || d.Assets == nil || d.Configurations == nil || d.Management == nil {
		return protocolError("DDM", "declaration-items: all four arrays are required")
	}
	items := map[string]string{}
	for kind, list := range map[string][]declarationItem{
		"activation": *d.Activations, "asset": *d.Assets, "configuration": *d.Configurations, "management": *d.Management,
	} {
		for _, item := range list {
			key := kind + "/" + item.Identifier
			if have[key] != item.ServerToken {
				if err := p.fetchDeclaration(ctx, key, item); err != nil {
					return err
				}
			}
			items[key] = item.ServerToken
		}
	}
	p.change(func() { p.ddm.items, p.ddm.token = items, manifest.DeclarationsToken })
	return p.reportDeclarations(ctx, items)
}

func (p *Phone) fetchDeclaration(ctx context.Context, key string, item declarationItem) error {
	body, err := p.ask(ctx, "declaration/"+key, nil)
	if err != nil {
		return err
	}
	var declaration struct {
		Type, Identifier, ServerToken string
		Payload                       map[string]any
	}
	if err := json.Unmarshal(body, &declaration); err != nil {
		return protocolError("DDM", "%s: %v", key, err)
	}
	if declaration.Type == "" || declaration.Payload == nil || declaration.Identifier != item.Identifier || declaration.ServerToken != item.ServerToken ||
		len(item.Identifier) > 64 || len(item.ServerToken) > 64 {
		return protocolError("DDM", "%s is not the declaration that was announced", key)
	}
	return nil
}

func (p *Phone) reportDeclarations(ctx context.Context, items map[string]string) error {
	lists := map[string][]any{"activations": {}, "assets": {}, "configurations": {}, "management": {}}
	plural := map[string]string{"activation": "activations", "asset": "assets", "configuration": "configurations", "management": "management"}
	for key, token := range items {
		for kind, list := range plural {
			if len(key) > len(kind) && key[:len(kind)+1] == kind+"/" {
				lists[list] = append(lists[list], map[string]any{"identifier": key[len(kind)+1:], "server-token": token, "active": true, "valid": "valid"})
			}
		}
	}
	report, err := json.Marshal(map[string]any{
		"StatusItems": map[string]any{"management": map[string]any{"declarations": lists}}, "Errors": []any{},
	})
	if err != nil {
		return fmt.Errorf("iphone: status report: %w", err)
	}
	_, err = p.ask(ctx, "status", report)
	return err
}

// ask sends one DeclarativeManagement check-in message.
func (p *Phone) ask(ctx context.Context, endpoint string, data []byte) ([]byte, error) {
	e := p.current()
	if e == nil {
		return nil, ErrNotEnrolled
	}
	message := e.message("DeclarativeManagement")
	message["Endpoint"] = endpoint
	if data != nil {
		message["Data"] = data
	}
	p.tamper("DeclarativeManagement", message)
	resp, body, err := p.put(ctx, e, e.mdm.checkInURL, typeCheckIn, plist.Marshal(message))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, refused(resp, body)
	}
	if endpoint != "status" && contentType(resp) != "application/json" {
		return nil, protocolError("DDM", "%s: content type %q", endpoint, resp.Header.Get("Content-Type"))
	}
	return body, nil
}
