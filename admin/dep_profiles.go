package admin

import (
	"context"
	"net/http"
	"time"

	"rollcall/dep"
	"rollcall/enroll"
)

type ADEProfileView struct {
	Name           string              `json:"name"`
	Settings       dep.ProfileSettings `json:"settings" doc:"By Apple's names."`
	Authentication dep.Authentication  `json:"authentication" enum:"none,request,oidc"`
	MinimumOS      map[string]string   `json:"minimum_os" doc:"By family; an older device is told to update first."`
	Version        int64               `json:"version" doc:"Grows with what Apple has to be told."`
	Apple          *adeVersionView     `json:"apple,omitempty" doc:"The newest version that Apple knows. Absent: none yet."`
	Pending        bool                `json:"pending" doc:"Apple is to be told the newest version yet."`
	Problem        *depProblemView     `json:"problem,omitempty" doc:"Why Apple did not take it; it stays until the profile is changed."`
	Warnings       []string            `json:"warnings" doc:"What is right for Apple and does nothing on some devices."`
	CreatedAt      time.Time           `json:"created_at"`
	UpdatedAt      time.Time           `json:"updated_at"`
}

type adeVersionView struct {
	Version   int64     `json:"version"`
	UUID      string    `json:"uuid"`
	DefinedAt time.Time `json:"defined_at"`
	Devices   *int      `json:"devices,omitempty" doc:"That have it."`
}

type adeChangeView struct {
	ADEProfileView
	Created bool `json:"created"`
	Changed bool `json:"changed" doc:"false: it was so already."`
}

type adeChanged struct {
	Status int
	Body   adeChangeView
}

func viewADEProfile(p dep.Profile) ADEProfileView {
	v := ADEProfileView{Name: p.Name, Settings: p.Settings, Authentication: p.Authentication, MinimumOS: p.MinimumOS, Version: p.Version, Pending: p.Pending(), Problem: viewDEPProblem(p.Problem), Warnings: p.Warnings(),
		CreatedAt: utc(p.CreatedAt), UpdatedAt: utc(p.UpdatedAt)}
	if v.Warnings == nil {
		v.Warnings = []string{}
	}
	if v.MinimumOS == nil {
		v.MinimumOS = map[string]string{}
	}
	if p.UUID != "" {
		v.Apple = &adeVersionView{Version: p.Defined, UUID: p.UUID, DefinedAt: utc(p.DefinedAt)}
	}
	return v
}

// ADEProfileParam is the path of every operation on one profile.
type ADEProfileParam struct {
	DEPAccountParam
	Profile string `path:"profile" maxLength:"125" doc:"Name of the profile."`
}

func (r routes) depProfiles() {
	a, path := r.a, "/accounts/{account}/profiles"
	add(r, RoleViewer, depOperation("list-ade-profiles", http.MethodGet, path, "List the ADE profiles of an account", "All of them, by name."),
		func(ctx context.Context, in *DEPAccountParam) (*body[list[ADEProfileView]], error) {
			ps, err := a.DEP.Profiles(ctx, in.Account)
			if err != nil {
				return nil, err
			}
			return &body[list[ADEProfileView]]{listOf(ps, enroll.Page{}, func(p dep.Profile) string { return p.Name }, viewADEProfile)}, nil
		})
	path += "/{profile}"
	add(r, RoleViewer, depOperation("get-ade-profile", http.MethodGet, path, "Read an ADE profile", ""),
		func(ctx context.Context, in *ADEProfileParam) (*body[ADEProfileView], error) {
			p, err := a.DEP.Profile(ctx, in.Account, in.Profile)
			if err != nil {
				return nil, err
			}
			return &body[ADEProfileView]{viewADEProfile(p)}, nil
		})

	type putProfile struct {
		ADEProfileParam
		Body struct {
			Settings       *dep.ProfileSettings `json:"settings,omitempty" doc:"All of them, by Apple's names."`
			Authentication *dep.Authentication  `json:"authentication,omitempty" enum:"none,request,oidc" doc:"How the person in front of the device proves who they are: not, by the code of their enrollment request, or by the OpenID provider."`
			MinimumOS      *map[string]string   `json:"minimum_os,omitempty" doc:"By family: iPhone, iPad, Mac, AppleTV." example:"{\"iPad\": \"26.1\"}"`
		}
	}
	add(r, RoleAdmin, orCreated[adeChangeView](r, depOperation("put-ade-profile", http.MethodPut, path, "Make or change an ADE profile",
		"Fields that are left out stay as they are. What Apple would refuse is refused here, with Apple's code. Apple is told at once, and devices that had the version before get the new one; they use it when they are activated next.")),
		func(ctx context.Context, in *putProfile) (*adeChanged, error) {
			p, created, changed, err := a.DEP.PutProfile(ctx, in.Account, in.Profile, dep.ProfileInput{Settings: in.Body.Settings, Authentication: in.Body.Authentication, MinimumOS: in.Body.MinimumOS})
			if err != nil {
				return nil, err
			}
			out := &adeChanged{Status: http.StatusOK, Body: adeChangeView{viewADEProfile(p), created, changed}}
			if created {
				out.Status = http.StatusCreated
			}
			return out, nil
		})

	add(r, RoleAdmin, depOperation("delete-ade-profile", http.MethodDelete, path, "Delete an ADE profile", "Only one that is no default and that no device has."),
		func(ctx context.Context, in *ADEProfileParam) (*struct{}, error) {
			return nil, a.DEP.DeleteProfile(ctx, in.Account, in.Profile)
		})

	add(r, RoleViewer, depOperation("list-ade-versions", http.MethodGet, path+"/versions", "List the versions of an ADE profile that Apple knows", "Newest first, with the number of devices that have each."),
		func(ctx context.Context, in *ADEProfileParam) (*body[list[adeVersionView]], error) {
			vs, err := a.DEP.ProfileVersions(ctx, in.Account, in.Profile)
			if err != nil {
				return nil, err
			}
			return &body[list[adeVersionView]]{listOf(vs, enroll.Page{}, func(v dep.Version) string { return v.UUID }, func(v dep.Version) adeVersionView {
				return adeVersionView{v.Version, v.UUID, utc(v.DefinedAt), &v.Devices}
			})}, nil
		})
}
