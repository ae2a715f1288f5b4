package iphone

import (
	"context"
	"maps"
	"slices"

	"rollcall/sim/plist"
)

func (p *Phone) installProfile(ctx context.Context, c plist.Dict) (outcome, error) {
	raw, ok := c["Payload"].([]byte)
	if !ok || len(raw) == 0 {
		return outcome{}, errFormat
	}
	prof, err := parseProfile(raw, nil)
	if err != nil {
		return outcome{}, err
	}
	if prof.kind != configuration {
		return outcome{}, profileError("a %q profile through MDM", prof.kind)
	}
	return outcome{}, p.installConfiguration(ctx, prof, byMDM)
}

func (p *Phone) removeProfile(_ context.Context, c plist.Dict) (outcome, error) {
	id, ok := c["Identifier"].(string)
	if !ok {
		return outcome{}, errFormat
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	in := p.profiles[id]
	switch {
	case in == nil:
		return outcome{}, mdmError(12075, "the profile %q is not installed", id)
	case !in.managed:
		return outcome{}, mdmError(12013, "the profile %q is not managed", id)
	case id == p.enrollment.profileID:
		e := p.enrollment
		return outcome{after: func(ctx context.Context) { p.removeMDM(ctx, e) }}, nil
	}
	delete(p.profiles, id)
	p.notify()
	return outcome{}, nil
}

func (p *Phone) profileList(_ context.Context, c plist.Dict) (outcome, error) {
	managedOnly, _ := c["ManagedOnly"].(bool)
	p.mu.Lock()
	defer p.mu.Unlock()
	list := []any{}
	for _, id := range slices.Sorted(maps.Keys(p.profiles)) {
		in := p.profiles[id]
		if managedOnly && !in.managed {
			continue
		}
		content := []any{}
		for _, pl := range in.profile.payloads {
			d := plist.Dict{"PayloadIdentifier": pl.identifier, "PayloadType": pl.kind, "PayloadVersion": 1}
			copyText(d, pl.dict, "PayloadDisplayName", "PayloadDescription", "PayloadOrganization")
			content = append(content, d)
		}
		signers := []any{}
		if in.profile.signer != nil {
			signers = append(signers, in.profile.signer.Raw)
		}
		encrypted, _ := in.profile.dict["IsEncrypted"].(bool)
		disallowed, _ := in.profile.dict["PayloadRemovalDisallowed"].(bool)
		d := plist.Dict{
			"PayloadIdentifier": id, "PayloadUUID": in.profile.uuid, "PayloadVersion": 1, "PayloadRemovalDisallowed": disallowed,
			"HasRemovalPasscode": false, "IsEncrypted": encrypted, "IsManaged": in.managed, "SignerCertificates": signers, "PayloadContent": content,
		}
		copyText(d, in.profile.dict, "PayloadDisplayName", "PayloadDescription", "PayloadOrganization")
		list = append(list, d)
	}
	return outcome{keys: plist.Dict{"ProfileList": list}}, nil
}

func copyText(to, from plist.Dict, keys ...string) {
	for _, k := range keys {
		if s, ok := from[k].(string); ok {
			to[k] = s
		}
	}
}

func (p *Phone) certificateList(_ context.Context, c plist.Dict) (outcome, error) {
	managedOnly, _ := c["ManagedOnly"].(bool)
	p.mu.Lock()
	defer p.mu.Unlock()
	id := p.enrollment.identity.cert
	list := []any{plist.Dict{"CommonName": id.Subject.CommonName, "IsIdentity": true, "Data": id.Raw}}
	for _, name := range slices.Sorted(maps.Keys(p.profiles)) {
		in := p.profiles[name]
		if managedOnly && !in.managed {
			continue
		}
		for _, pl := range in.profile.payloads {
			if pl.kind != payloadRoot && pl.kind != "com.apple.security.pkcs1" && pl.kind != "com.apple.security.pem" {
				continue
			}
			cert, err := pl.certificate()
			if err != nil {
				return outcome{}, err
			}
			list = append(list, plist.Dict{"CommonName": cert.Subject.CommonName, "IsIdentity": false, "Data": cert.Raw})
		}
	}
	return outcome{keys: plist.Dict{"CertificateList": list}}, nil
}

func (p *Phone) provisioningProfileList(context.Context, plist.Dict) (outcome, error) {
	return outcome{keys: plist.Dict{"ProvisioningProfileList": []any{}}}, nil
}
