package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/dep"
	"rollcall/dep/cloud"
	"rollcall/enroll"
)

type DEPAccountView struct {
	Name             string                          `json:"name"`
	AddAsPreEnrolled bool                            `json:"add_as_pre_enrolled" doc:"Add as Pre-enrolled Device: every device that Apple lists becomes a row of the roll."`
	Default          dep.NamedDefault                `json:"default" doc:"What devices get."`
	Families         map[dep.Family]dep.NamedDefault `json:"families" doc:"What devices of iPhone, iPad, Mac or AppleTV get instead."`
	Certificate      string                          `json:"certificate_pem" doc:"For Apple's portal."`
	Token            *depTokenView                   `json:"token,omitempty" doc:"Absent: none was uploaded."`
	Server           *depServerView                  `json:"server,omitempty" doc:"What Apple says of it."`
	Devices          int                             `json:"devices" doc:"Devices that Apple lists."`
	Sync             depSyncView                     `json:"sync"`
	CreatedAt        time.Time                       `json:"created_at"`
	UpdatedAt        time.Time                       `json:"updated_at"`
}

type depTokenView struct {
	InstalledAt time.Time `json:"installed_at"`
	ExpiresAt   time.Time `json:"expires_at,omitzero"`
	DaysLeft    int       `json:"days_left"`
}

type depServerView struct {
	Name         string `json:"name"`
	UUID         string `json:"uuid"`
	Organization string `json:"organization,omitempty"`
	Type         string `json:"type,omitempty" doc:"org, edu or tvprovider."`
	Admin        string `json:"admin,omitempty" doc:"Apple Account that downloaded the token."`
}

type depSyncView struct {
	Running   bool            `json:"running"`
	StartedAt time.Time       `json:"started_at,omitzero"`
	DoneAt    time.Time       `json:"done_at,omitzero" doc:"Last time that everything was brought up to date."`
	DueAt     time.Time       `json:"due_at,omitzero"`
	Failures  int             `json:"failures" doc:"Runs in a row that came to nothing."`
	Problem   *depProblemView `json:"problem,omitempty" doc:"Why the last one did."`
}

type depProblemView struct {
	Code  string    `json:"code"`
	Text  string    `json:"text"`
	Hint  string    `json:"hint,omitempty"`
	Since time.Time `json:"since"`
}

func viewDEPProblem(p *dep.Problem) *depProblemView {
	if p == nil {
		return nil
	}
	return &depProblemView{p.Code, p.Text, p.Hint, utc(p.Since)}
}

func (a *API) viewDEPAccount(acc dep.Account, profiles []dep.Profile) DEPAccountView {
	names := make(map[string]string, len(profiles))
	for _, p := range profiles {
		names[p.ID] = p.Name
	}
	named := func(d dep.Default) dep.NamedDefault {
		return dep.NamedDefault{Group: d.Group, Profile: names[d.ProfileID]}
	}
	v := DEPAccountView{Name: acc.Name, AddAsPreEnrolled: acc.AddAsPreEnrolled, Default: named(acc.Default), Families: map[dep.Family]dep.NamedDefault{}, Certificate: string(acc.CertificatePEM),
		Devices: acc.Devices, CreatedAt: utc(acc.CreatedAt), UpdatedAt: utc(acc.UpdatedAt),
		Sync: depSyncView{Running: acc.Sync.Running, StartedAt: utc(acc.Sync.StartedAt), DoneAt: utc(acc.Sync.DoneAt), DueAt: utc(acc.Sync.DueAt), Failures: acc.Sync.Failures, Problem: viewDEPProblem(acc.Sync.Problem)}}
	for f, d := range acc.Families {
		v.Families[f] = named(d)
	}
	if acc.Token.Installed() {
		v.Token = &depTokenView{InstalledAt: utc(acc.Token.InstalledAt), ExpiresAt: utc(acc.Token.ExpiresAt), DaysLeft: acc.Token.DaysLeft(a.now())}
		v.Server = &depServerView{Name: acc.Apple.ServerName, UUID: acc.Apple.ServerUUID, Organization: acc.Apple.OrgName, Type: acc.Apple.OrgType, Admin: acc.Apple.AdminID}
	}
	return v
}

// depAccount answers with an account, with its profiles by name.
func (a *API) depAccount(ctx context.Context, acc dep.Account, err error) (*body[DEPAccountView], error) {
	if err != nil {
		return nil, err
	}
	profiles, err := a.DEP.Profiles(ctx, acc.Name)
	if err != nil {
		return nil, err
	}
	return &body[DEPAccountView]{a.viewDEPAccount(acc, profiles)}, nil
}

// DEPAccountParam is the path of every operation on one account.
type DEPAccountParam struct {
	Account string `path:"account" maxLength:"255" doc:"Name of the account."`
}

// DEPInput is what can be said of an account.
type DEPInput struct {
	AddAsPreEnrolled *bool                            `json:"add_as_pre_enrolled,omitempty" doc:"Switching it on adds the devices that are known already. Switching it off leaves the rows that are there."`
	Default          *dep.NamedDefault                `json:"default,omitempty" doc:"Of the account, with both fields. Rows that are not enrolled and in no group yet join another group at once."`
	Families         *map[dep.Family]dep.NamedDefault `json:"families,omitempty" doc:"Of iPhone, iPad, Mac and AppleTV; all of them together. A blank field is that of default."`
}

func (in DEPInput) input() dep.Input {
	return dep.Input{AddAsPreEnrolled: in.AddAsPreEnrolled, Default: in.Default, Families: in.Families}
}

func depOperation(id, method, path, summary, description string) huma.Operation {
	return huma.Operation{OperationID: id, Method: method, Path: "/dep" + path, Tags: []string{"DEP"}, Summary: summary, Description: description}
}

func (r routes) dep() {
	a := r.a
	add(r, RoleViewer, depOperation("list-dep-accounts", http.MethodGet, "/accounts", "List the DEP accounts", "All of them, by name."),
		func(ctx context.Context, _ *struct{}) (*body[list[DEPAccountView]], error) {
			accounts, err := a.DEP.Accounts(ctx)
			if err != nil {
				return nil, err
			}
			out := list[DEPAccountView]{Items: make([]DEPAccountView, 0, len(accounts))}
			for _, acc := range accounts {
				v, err := a.depAccount(ctx, acc, nil)
				if err != nil {
					return nil, err
				}
				out.Items = append(out.Items, v.Body)
			}
			return &body[list[DEPAccountView]]{out}, nil
		})

	type createAccount struct {
		Body struct {
			Name string `json:"name" minLength:"1" maxLength:"255"`
			DEPInput
		}
	}
	create := depOperation("create-dep-account", http.MethodPost, "/accounts", "Make a DEP account", "With a key of its own. Its certificate goes to Apple's portal, which gives a server token for it.")
	create.DefaultStatus = http.StatusCreated
	add(r, RoleAdmin, create, func(ctx context.Context, in *createAccount) (*body[DEPAccountView], error) {
		acc, err := a.DEP.Create(ctx, in.Body.Name, in.Body.input())
		return a.depAccount(ctx, acc, err)
	})

	add(r, RoleViewer, depOperation("get-dep-account", http.MethodGet, "/accounts/{account}", "Read a DEP account", ""),
		func(ctx context.Context, in *DEPAccountParam) (*body[DEPAccountView], error) {
			acc, err := a.DEP.Account(ctx, in.Account)
			return a.depAccount(ctx, acc, err)
		})

	type patchAccount struct {
		DEPAccountParam
		Body struct {
			Name *string `json:"name,omitempty" minLength:"1" maxLength:"255"`
			DEPInput
		}
	}
	add(r, RoleAdmin, depOperation("patch-dep-account", http.MethodPatch, "/accounts/{account}", "Change a DEP account", "Fields that are left out stay as they are. It is synchronised at once."),
		func(ctx context.Context, in *patchAccount) (*body[DEPAccountView], error) {
			change := in.Body.input()
			change.Name = in.Body.Name
			acc, err := a.DEP.Change(ctx, in.Account, change)
			return a.depAccount(ctx, acc, err)
		})

	add(r, RoleAdmin, depOperation("delete-dep-account", http.MethodDelete, "/accounts/{account}", "Delete a DEP account",
		"With its profiles and its token. Rows on the roll stay. Devices that have one of its profiles at Apple cannot enroll with it any more."),
		func(ctx context.Context, in *DEPAccountParam) (*struct{}, error) {
			return nil, a.DEP.Delete(ctx, in.Account)
		})

	type certificate struct {
		ContentType string `header:"Content-Type"`
		Disposition string `header:"Content-Disposition"`
		Body        []byte `contentType:"application/x-pem-file"`
	}
	pem := depOperation("get-dep-certificate", http.MethodGet, "/accounts/{account}/certificate", "Download the certificate of a DEP account", "For Apple's portal. It stays the same when the token is renewed.")
	pem.Responses = map[string]*huma.Response{"200": {Description: "PEM", Content: map[string]*huma.MediaType{"application/x-pem-file": {Schema: &huma.Schema{Type: huma.TypeString}}}}}
	add(r, RoleViewer, pem, func(ctx context.Context, in *DEPAccountParam) (*certificate, error) {
		acc, err := a.DEP.Account(ctx, in.Account)
		return &certificate{"application/x-pem-file", `attachment; filename="rollcall-dep.pem"`, acc.CertificatePEM}, err
	})

	type putToken struct {
		DEPAccountParam
		Force   bool   `query:"force" doc:"Take the token of another device management service, too. All devices of the old one are let go."`
		RawBody []byte `contentType:"application/pkcs7-mime"`
	}
	token := depOperation("put-dep-token", http.MethodPut, "/accounts/{account}/token", "Upload a server token", "The .p7m file as Apple gave it. It is proven at Apple before it takes the place of the one before.")
	token.MaxBodyBytes = dep.MaxTokenFile
	add(r, RoleAdmin, token, func(ctx context.Context, in *putToken) (*body[DEPAccountView], error) {
		acc, err := a.DEP.InstallToken(ctx, in.Account, in.RawBody, in.Force)
		return a.depAccount(ctx, acc, err)
	})

	type syncNow struct {
		DEPAccountParam
		Body *struct {
			Full bool `json:"full,omitempty" doc:"Start with a full list instead of what has changed."`
		}
	}
	now := depOperation("sync-dep-account", http.MethodPost, "/accounts/{account}/sync", "Synchronise now", "Instead of at the next half hour. Read the account to see when it is done.")
	now.DefaultStatus = http.StatusAccepted
	add(r, RoleAdmin, now, func(ctx context.Context, in *syncNow) (*body[DEPAccountView], error) {
		acc, err := a.DEP.Sync(ctx, in.Account, in.Body != nil && in.Body.Full)
		return a.depAccount(ctx, acc, err)
	})
	r.depDevices()
	r.depDiscovery()
	r.depProfiles()
}

type DEPDeviceView struct {
	Serial        string        `json:"serial"`
	Family        dep.Family    `json:"family,omitempty"`
	OnRoll        bool          `json:"on_roll"`
	Profile       string        `json:"profile,omitempty" doc:"Name of the profile it has; absent: none, or none of this account."`
	ProfileUUID   string        `json:"profile_uuid,omitempty"`
	ProfileStatus cloud.Status  `json:"profile_status,omitempty" doc:"empty, assigned, pushed (the device has fetched it) or removed."`
	Outcome       cloud.Outcome `json:"outcome,omitempty" doc:"Of the last attempt to assign one: SUCCESS, NOT_ACCESSIBLE, FAILED or THROTTLED."`
	Attempts      int           `json:"attempts,omitempty" doc:"That came to nothing."`
	RetryAt       time.Time     `json:"retry_at,omitzero"`
}

type DEPDifferenceView struct {
	Serial  string        `json:"serial"`
	Account string        `json:"account,omitempty"`
	Family  dep.Family    `json:"family,omitempty"`
	State   string        `json:"state,omitempty" doc:"Of its row on the roll; absent: there is none."`
	Status  cloud.Status  `json:"profile_status,omitempty"`
	Outcome cloud.Outcome `json:"outcome,omitempty"`
	Since   time.Time     `json:"since,omitzero"`
}

// DEPReportParams are those of a report.
type DEPReportParams struct {
	Account    string `query:"account" maxLength:"255" doc:"Name of an account. Left out: all."`
	SilentDays int    `query:"silent_days" minimum:"0" maximum:"3650" default:"14" doc:"How long a device with a profile may take to enroll."`
}

// depDevices declares what is about devices and the differences between lists.
func (r routes) depDevices() {
	a := r.a
	type listDevices struct {
		DEPAccountParam
		ListParams
	}
	add(r, RoleViewer, depOperation("list-dep-devices", http.MethodGet, "/accounts/{account}/devices", "List the devices of a DEP account",
		"By serial: those that Apple lists, with what is known of their profile. What kind of device it is in detail shows on the roll once its user has accepted."),
		func(ctx context.Context, in *listDevices) (*body[list[DEPDeviceView]], error) {
			p, err := in.page()
			if err != nil {
				return nil, err
			}
			known, err := a.DEP.KnownDevices(ctx, in.Account, p.After, p.Limit)
			if err != nil {
				return nil, err
			}
			return &body[list[DEPDeviceView]]{listOf(known, p, func(k dep.Known) string { return k.Serial }, func(k dep.Known) DEPDeviceView {
				return DEPDeviceView{k.Serial, k.Family, k.OnRoll, k.Profile, k.ProfileUUID, k.ProfileStatus, k.Outcome, k.Attempts, utc(k.RetryAt)}
			})}, nil
		})

	type disown struct {
		DEPAccountParam
		Body struct {
			Serials []string `json:"serials" minItems:"1" maxItems:"100"`
			Confirm string   `json:"confirm" doc:"Must be \"release for good\": the organization cannot get the devices back from here." example:"release for good"`
		}
	}
	type disowned struct {
		Outcomes map[string]cloud.Outcome `json:"outcomes" doc:"By serial."`
	}
	add(r, RoleAdmin, depOperation("disown-dep-devices", http.MethodPost, "/accounts/{account}/disown", "Release devices from the organization",
		"Apple forgets that they belong to it, for good. Only a reseller or Apple Configurator brings them back."),
		func(ctx context.Context, in *disown) (*body[disowned], error) {
			if in.Body.Confirm != "release for good" {
				return nil, enroll.Errorf(enroll.KindInvalid, "dep_disown_unconfirmed", "releasing devices cannot be undone, and was not confirmed").WithHint(`Send "confirm": "release for good".`)
			}
			out, err := a.DEP.Disown(ctx, in.Account, in.Body.Serials)
			return &body[disowned]{disowned{out}}, err
		})

	since := func(in DEPReportParams) time.Time { return a.now().AddDate(0, 0, -in.SilentDays) }
	type counts struct {
		Counts map[dep.Finding]int `json:"counts" doc:"Devices by finding: not_on_roll, not_in_dep, not_assigned, silent, in_two_accounts."`
	}
	add(r, RoleViewer, depOperation("get-dep-report", http.MethodGet, "/report", "Compare Apple's lists, the roll and the enrolled devices", ""),
		func(ctx context.Context, in *DEPReportParams) (*body[counts], error) {
			n, err := a.DEP.CountFindings(ctx, in.Account, since(*in))
			return &body[counts]{counts{n}}, err
		})
	type listDifferences struct {
		Finding dep.Finding `path:"finding" enum:"not_on_roll,not_in_dep,not_assigned,silent,in_two_accounts"`
		DEPReportParams
		ListParams
	}
	add(r, RoleViewer, depOperation("list-dep-differences", http.MethodGet, "/report/{finding}", "List the devices of a finding",
		"not_on_roll: Apple lists it, the roll does not. not_in_dep: an Apple device on the roll that no account has. not_assigned: without a profile, or the last attempt came to nothing. silent: it has a profile since long and is not enrolled. in_two_accounts: more than one account lists it."),
		func(ctx context.Context, in *listDifferences) (*body[list[DEPDifferenceView]], error) {
			p, err := in.page()
			if err != nil {
				return nil, err
			}
			rows, err := a.DEP.FindingRows(ctx, in.Finding, in.Account, since(in.DEPReportParams), p.After, p.Limit)
			if err != nil {
				return nil, err
			}
			return &body[list[DEPDifferenceView]]{listOf(rows, p, dep.Difference.Key, func(d dep.Difference) DEPDifferenceView {
				return DEPDifferenceView{d.Serial, d.Account, d.Family, d.State, d.Status, d.Outcome, utc(d.Since)}
			})}, nil
		})
}

type depDiscoveryView struct {
	URL string `json:"url" maxLength:"2000" doc:"Empty: none." example:"https://mdm.example.com/.well-known/com.apple.remotemanagement"`
}

// depDiscovery declares where Apple sends account-driven enrollments.
func (r routes) depDiscovery() {
	a, path := r.a, "/accounts/{account}/discovery"
	add(r, RoleViewer, depOperation("get-dep-discovery", http.MethodGet, path, "Read where account-driven enrollments go", "As Apple says it, for users whose domain has no well-known document."),
		func(ctx context.Context, in *DEPAccountParam) (*body[depDiscoveryView], error) {
			url, err := a.DEP.Discovery(ctx, in.Account)
			return &body[depDiscoveryView]{depDiscoveryView{url}}, err
		})
	type putDiscovery struct {
		DEPAccountParam
		Body depDiscoveryView
	}
	add(r, RoleAdmin, depOperation("put-dep-discovery", http.MethodPut, path, "Set where account-driven enrollments go", "For the whole organization of the account."),
		func(ctx context.Context, in *putDiscovery) (*body[depDiscoveryView], error) {
			if err := dep.CheckDiscovery(in.Body.URL); err != nil {
				return nil, err
			}
			return &body[depDiscoveryView]{in.Body}, a.DEP.SetDiscovery(ctx, in.Account, in.Body.URL)
		})
	add(r, RoleAdmin, depOperation("delete-dep-discovery", http.MethodDelete, path, "Take back where account-driven enrollments go", ""),
		func(ctx context.Context, in *DEPAccountParam) (*struct{}, error) {
			return nil, a.DEP.SetDiscovery(ctx, in.Account, "")
		})
}
