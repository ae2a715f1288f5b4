package zerotouch

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"rollcall/enroll"
)

// configure makes our configuration at Google what it should be. One that was
// deleted there is made anew, one whose answer was lost is found by its title.
func (r *run) configure(ctx context.Context) error {
	want, err := r.resource(ctx)
	if err != nil {
		return err
	}
	have, err := r.client.Configurations(ctx, r.account.Customer)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(have, func(c Resource) bool { return c.Name == r.account.Configured })
	if i < 0 {
		i = slices.IndexFunc(have, func(c Resource) bool { return c.Title == want.Title })
	}
	if i < 0 {
		made, err := r.client.Create(ctx, r.account.Customer, want)
		if err != nil {
			return err
		}
		if made.Name == "" {
			return &Error{Call: "POST customers/-/configurations", Code: BadAnswer, Message: "it names no configuration"}
		}
		return r.configured(ctx, made.Name)
	}
	if fields := want.differs(have[i]); len(fields) > 0 {
		if err := r.client.Patch(ctx, have[i].Name, want, fields); err != nil {
			return err
		}
	}
	return r.configured(ctx, have[i].Name)
}

func (r *run) configured(ctx context.Context, name string) error {
	if r.account.Configured == name {
		return nil
	}
	r.account.Configured = name
	return r.Store.SetZeroTouchConfigured(ctx, r.worker, name)
}

// resource is our configuration as Google should have it.
func (r *run) resource(ctx context.Context) (Resource, error) {
	c := r.account.Configuration
	pkg, extras, err := r.Extras.of(ctx, c)
	if err != nil {
		return Resource{}, err
	}
	dpcs, err := r.client.DPCs(ctx, r.account.Customer)
	if err != nil {
		return Resource{}, err
	}
	i := slices.IndexFunc(dpcs, func(d DPC) bool { return d.Package == pkg })
	if i < 0 {
		return Resource{}, enroll.Errorf(enroll.KindConflict, "zero_touch_agent_unlisted", "Google's list of zero-touch agents does not have %s", pkg).
			WithHint("Google takes agents that are in Google Play and that it has approved; others come by QR code. Or use device_policy.")
	}
	return Resource{Title: c.Name, Company: c.Company, Email: c.Email, Phone: c.Phone, Message: c.Message, DPC: dpcs[i].Name, Extras: extras, Default: c.Default}, nil
}

// differs names the fields, as Google does, in which what Google has is not w.
func (w Resource) differs(have Resource) []string {
	var fields []string
	for _, f := range []struct {
		name string
		same bool
	}{
		{"configurationName", w.Title == have.Title}, {"companyName", w.Company == have.Company}, {"contactEmail", w.Email == have.Email}, {"contactPhone", w.Phone == have.Phone},
		{"customMessage", w.Message == have.Message}, {"dpcResourcePath", last(w.DPC) == last(have.DPC)}, {"dpcExtras", sameJSON(w.Extras, have.Extras)}, {"isDefault", w.Default == have.Default},
	} {
		if !f.same {
			fields = append(fields, f.name)
		}
	}
	return fields
}

// last is the last part of a name: an agent has the same one with all customers.
func last(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// sameJSON compares values: who stores JSON may write it anew.
func sameJSON(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}
