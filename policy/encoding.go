package policy

import (
	"bytes"
	"context"
)

// encoding is the wire form of a step, but for the ID.
type encoding struct {
	requestType   string
	before, after []byte // the ID
}

// stencil stands for the ID in what is kept.
const stencil = "00000000-0000-7000-8000-000000000000"

// encode gives the wire form of a planned step. What many devices are sent is
// encoded once.
func (p *Planner) encode(ctx context.Context, e Encoder, id string, planned Planned) (requestType string, body []byte, err error) {
	switch planned.Item.Step.(type) {
	case InstallProfile, InstallApp, Settings:
	default:
		return e.Encode(ctx, id, planned.Item.Step)
	}
	key := planned.Item.Key + " " + planned.Item.Hash
	p.mu.Lock()
	one, known := p.encoded[key]
	p.mu.Unlock()
	if !known {
		var text []byte
		if one.requestType, text, err = e.Encode(ctx, stencil, planned.Item.Step); err != nil {
			return "", nil, err
		}
		var once bool
		if one.before, one.after, once = bytes.Cut(text, []byte(stencil)); !once || bytes.Contains(one.after, []byte(stencil)) {
			return e.Encode(ctx, id, planned.Item.Step)
		}
		p.mu.Lock()
		p.encoded[key] = one
		p.mu.Unlock()
	}
	return one.requestType, bytes.Join([][]byte{one.before, one.after}, []byte(id)), nil
}
