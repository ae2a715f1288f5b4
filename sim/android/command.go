package android

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const maxAPK = 64 << 20

// failure is what an agent says of a command that it could not carry out.
type failure struct{ code, message string }

func (f *failure) Error() string { return f.code + ": " + f.message }

// handler carries out one command and returns the data of its result. after
// runs when the result is on its way.
type handler func(p *Phone, ctx context.Context, c *command) (data map[string]any, after func(), err error)

var handlers = map[string]handler{
	"set_policy":         (*Phone).setPolicy,
	"device_information": (*Phone).information,
	"install_app":        (*Phone).installApp,
	"remove_app":         (*Phone).removeApp,
	"lock": func(p *Phone, _ context.Context, c *command) (map[string]any, func(), error) {
		var l LockScreen
		err := c.read(map[string]any{"message": &l.Message, "phone": &l.Phone})
		if err == nil {
			p.change(func() { p.lock = &l })
		}
		return nil, nil, err
	},
	"reset_passcode": func(p *Phone, _ context.Context, c *command) (map[string]any, func(), error) {
		var passcode string
		err := c.read(map[string]any{"passcode": &passcode})
		if err == nil {
			p.change(func() { p.passcode = passcode })
		}
		return nil, nil, err
	},
	"ring": func(_ *Phone, _ context.Context, c *command) (map[string]any, func(), error) {
		var seconds int
		err := c.read(map[string]any{"seconds": &seconds})
		if err == nil && seconds < 0 {
			err = &failure{"invalid_parameters", "seconds is negative"}
		}
		return nil, nil, err
	},
	"locate": func(p *Phone, _ context.Context, c *command) (map[string]any, func(), error) {
		return map[string]any{"latitude": 47.3769, "longitude": 8.5417, "accuracy": 12.5, "at": p.cfg.Now().UTC().Format(time.RFC3339)}, nil, c.read(nil)
	},
	"reboot": func(_ *Phone, _ context.Context, c *command) (map[string]any, func(), error) {
		return nil, nil, c.read(nil)
	},
	"wipe": func(p *Phone, _ context.Context, c *command) (map[string]any, func(), error) {
		var external, esims bool
		var reason string
		err := c.read(map[string]any{"external_storage": &external, "esims": &esims, "reason": &reason})
		return nil, func() {
			p.change(func() {
				p.reset()
				p.counts["wipe"] = 1
			})
		}, err
	},
	// The answer to its result says unenroll; that is what makes the agent leave.
	"unenroll": func(_ *Phone, _ context.Context, c *command) (map[string]any, func(), error) {
		return nil, nil, c.read(nil)
	},
}

// read puts parameters where they belong. A parameter that is left out leaves
// its field alone; one of the wrong type is a failure; unknown ones are ignored,
// as the document says.
func (c *command) read(into map[string]any) error {
	for name, field := range into {
		raw, ok := c.parameters[name]
		if !ok {
			continue
		}
		if err := json.Unmarshal(raw, field); err != nil || string(raw) == "null" {
			return &failure{"invalid_parameters", fmt.Sprintf("%s is %s", name, raw)}
		}
	}
	return nil
}

// execute runs a command and completes its result.
func (p *Phone) execute(ctx context.Context, c *command, result map[string]any) (after func()) {
	run, ok := handlers[c.kind]
	if !ok || slices.Contains(p.cfg.Unknown, c.kind) {
		result["status"] = "unsupported"
		return nil
	}
	data, after, err := run(p, ctx, c)
	if err != nil {
		f := &failure{"failed", err.Error()}
		errors.As(err, &f)
		result["status"], result["error"] = "error", map[string]any{"code": f.code, "message": f.message}
		return nil
	}
	result["status"] = "acknowledged"
	if data != nil {
		result["data"] = data
	}
	p.change(func() { p.counts[c.kind]++ })
	return after
}

// setPolicy applies a policy document: its required apps come, its blocked apps
// go, and what the agent cannot do it says by pointer.
func (p *Phone) setPolicy(_ context.Context, c *command) (map[string]any, func(), error) {
	var document map[string]any
	var hash string
	if err := c.read(map[string]any{"policy": &document, "hash": &hash}); err != nil {
		return nil, nil, err
	}
	if document["v"] != float64(1) || hash == "" {
		return nil, nil, &failure{"invalid_parameters", "a policy under v 1 and its hash are needed"}
	}
	notApplied := []map[string]any{}
	for _, pointer := range slices.Sorted(maps.Keys(p.cfg.CannotApply)) {
		if resolves(document, pointer) {
			notApplied = append(notApplied, map[string]any{"pointer": pointer, "code": "not_possible", "message": p.cfg.CannotApply[pointer]})
		}
	}
	apps, _ := document["apps"].(map[string]any)
	p.change(func() {
		p.policy, p.hash, p.timings.PolicyAt = slices.Clone(c.parameters["policy"]), hash, p.cfg.Now()
		for _, name := range packages(apps["required"]) {
			if p.apps[name] == "" {
				p.apps[name] = "1.0"
			}
		}
		for _, name := range packages(apps["blocked"]) {
			delete(p.apps, name)
		}
	})
	return map[string]any{"applied": hash, "not_applied": notApplied}, nil, nil
}

func packages(list any) []string {
	var out []string
	elements, _ := list.([]any)
	for _, e := range elements {
		app, _ := e.(map[string]any)
		if name, _ := app["package"].(string); name != "" {
			out = append(out, name)
		}
	}
	return out
}

// resolves tells whether a JSON pointer (RFC 6901) leads to something.
func resolves(value any, pointer string) bool {
	for _, token := range strings.Split(pointer, "/")[1:] {
		token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		switch v := value.(type) {
		case map[string]any:
			next, ok := v[token]
			if !ok {
				return false
			}
			value = next
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(v) {
				return false
			}
			value = v[i]
		default:
			return false
		}
	}
	return true
}

func (p *Phone) information(_ context.Context, c *command) (map[string]any, func(), error) {
	data := p.device()
	apps := []map[string]any{}
	installed := p.Apps()
	for _, name := range slices.Sorted(maps.Keys(installed)) {
		apps = append(apps, map[string]any{"package": name, "version": installed[name]})
	}
	maps.Copy(data, map[string]any{"battery_level": 0.83, "storage_total": 128 << 30, "storage_free": 77 << 30, "encrypted": true,
		"passcode_set": p.Passcode() != "", "apps": apps})
	return data, nil, c.read(nil)
}

func (p *Phone) installApp(ctx context.Context, c *command) (map[string]any, func(), error) {
	var name, source, sum string
	if err := c.read(map[string]any{"package": &name, "url": &source, "sha256": &sum}); err != nil {
		return nil, nil, err
	}
	if name == "" || source == "" || sum == "" {
		return nil, nil, &failure{"invalid_parameters", "package, url and sha256 are needed"}
	}
	apk, err := p.download(ctx, source)
	if err != nil {
		return nil, nil, &failure{"download_failed", err.Error()}
	}
	want, err := hex.DecodeString(sum)
	if got := sha256.Sum256(apk); err != nil || !bytes.Equal(got[:], want) {
		return nil, nil, &failure{"checksum_mismatch", fmt.Sprintf("the file has the checksum %x", got)}
	}
	p.change(func() { p.apps[name] = "1.0" })
	return map[string]any{"version": "1.0"}, nil, nil
}

func (p *Phone) download(ctx context.Context, source string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, source, nil)
	if err != nil {
		return nil, err
	}
	if p.cfg.Alter != nil {
		p.cfg.Alter("download", req)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxAPK))
}

func (p *Phone) removeApp(_ context.Context, c *command) (map[string]any, func(), error) {
	var name string
	if err := c.read(map[string]any{"package": &name}); err != nil {
		return nil, nil, err
	}
	gone := false
	p.change(func() { _, gone = p.apps[name]; delete(p.apps, name) })
	if !gone {
		return nil, nil, &failure{"app_not_found", "there is no app " + name}
	}
	return nil, nil, nil
}
