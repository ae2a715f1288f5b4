package admin

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/enroll"
)

type AdministratorView struct {
	ID           string    `json:"id"`
	Email        string    `json:"email"`
	Name         string    `json:"name"`
	Role         Role      `json:"role" enum:"viewer,operator,admin"`
	TimeZone     string    `json:"time_zone,omitempty" doc:"IANA name. Absent: UTC." example:"Europe/Berlin"`
	Theme        Theme     `json:"theme,omitempty" enum:"light,dark" doc:"Absent: that of the person's system."`
	HasPassword  bool      `json:"has_password" doc:"false: no password was chosen yet, or people sign in at the OpenID provider."`
	SecondFactor bool      `json:"second_factor" doc:"A code of an authenticator app is asked for at the sign-in."`
	InvitedUntil time.Time `json:"invited_until,omitzero" doc:"Until then the link is good with which a password is chosen."`
	CreatedAt    time.Time `json:"created_at"`
	UpdatedAt    time.Time `json:"updated_at"`
	LastSeenAt   time.Time `json:"last_seen_at,omitzero" doc:"To the minute."`
	Disabled     bool      `json:"disabled"`
	DisabledAt   time.Time `json:"disabled_at,omitzero"`
	Version      int64     `json:"version"`
}

func viewAdministrator(a Administrator) AdministratorView {
	return AdministratorView{ID: a.ID, Email: a.Email, Name: a.Name, Role: a.Role, TimeZone: a.TimeZone, Theme: a.Theme, HasPassword: a.HasPassword, SecondFactor: a.SecondFactor,
		InvitedUntil: utc(a.InvitedUntil), CreatedAt: utc(a.CreatedAt), UpdatedAt: utc(a.UpdatedAt), LastSeenAt: utc(a.LastSeenAt), Disabled: !a.DisabledAt.IsZero(), DisabledAt: utc(a.DisabledAt), Version: a.Version}
}

type invitedView struct {
	AdministratorView
	Link string `json:"link" doc:"With it the person chooses a password. It is shown here and never again, and is good once, for seven days."`
}

// AdministratorParam is the path of every operation on one administrator.
type AdministratorParam struct {
	ID string `path:"id" maxLength:"64"`
}

// checkTimeZone says whether a name is one of the time zone database.
func checkTimeZone(name string) error {
	if _, err := time.LoadLocation(name); err != nil || name == "Local" {
		return enroll.Errorf(enroll.KindInvalid, "time_zone_unknown", "there is no time zone %q", name).WithHint("Write it as Europe/Berlin.")
	}
	return nil
}

// changedMeanwhile refuses a change that is based on an older version.
func changedMeanwhile(ifMatch string, now Administrator) error {
	if ifMatch == "" || strings.Trim(ifMatch, `"`) == fmt.Sprint(now.Version) {
		return nil
	}
	p := newProblem(http.StatusConflict, "version_conflict", "Somebody else has changed the administrator meanwhile.", "Look at what it is now, and decide again.")
	p.Current = viewAdministrator(now)
	return p
}

func (r routes) administrators() {
	a := r.a
	op := func(id, method, path, summary, description string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: "/administrators" + path, Tags: []string{"Administrators"}, Summary: summary, Description: description}
	}
	answer := func(who Administrator, err error) (*body[AdministratorView], error) {
		if err != nil {
			return nil, err
		}
		return &body[AdministratorView]{viewAdministrator(who)}, nil
	}
	invited := func(who Administrator, link string, err error) (*body[invitedView], error) {
		if err != nil {
			return nil, err
		}
		return &body[invitedView]{invitedView{viewAdministrator(who), link}}, nil
	}

	add(r, RoleAdmin, op("list-administrators", http.MethodGet, "", "List the administrators", "All of them, by e-mail address."),
		func(ctx context.Context, _ *struct{}) (*body[list[AdministratorView]], error) {
			all, err := a.Administrators.Store.Administrators(ctx)
			if err != nil {
				return nil, err
			}
			return &body[list[AdministratorView]]{listOf(all, enroll.Page{}, func(w Administrator) string { return w.ID }, viewAdministrator)}, nil
		})

	type createAdministrator struct {
		Body struct {
			Email string `json:"email" maxLength:"254" doc:"With which they sign in. At an OpenID provider it has to be the verified address."`
			Name  string `json:"name" maxLength:"255"`
			Role  Role   `json:"role" enum:"viewer,operator,admin"`
		}
	}
	made := op("create-administrator", http.MethodPost, "", "Add an administrator", "The link with which they choose a password is in the answer and cannot be read again.")
	made.DefaultStatus = http.StatusCreated
	add(r, RoleAdmin, made, func(ctx context.Context, in *createAdministrator) (*body[invitedView], error) {
		return invited(a.Administrators.Invite(ctx, in.Body.Name, in.Body.Email, in.Body.Role))
	})

	add(r, RoleAdmin, op("get-administrator", http.MethodGet, "/{id}", "Read an administrator", ""),
		func(ctx context.Context, in *AdministratorParam) (*body[AdministratorView], error) {
			account, err := a.Administrators.Store.Administrator(ctx, in.ID)
			return answer(account.Administrator, err)
		})

	type patchAdministrator struct {
		AdministratorParam
		IfMatch string `header:"If-Match" maxLength:"40" doc:"Version as it was read. Where somebody else has changed it since, nothing is changed: 409 with what it is now." example:"\"7\""`
		Body    struct {
			Email    *string `json:"email,omitempty" maxLength:"254"`
			Name     *string `json:"name,omitempty" maxLength:"255"`
			Role     *Role   `json:"role,omitempty" enum:"viewer,operator,admin"`
			Disabled *bool   `json:"disabled,omitempty" doc:"Who is disabled cannot sign in."`
		}
	}
	add(r, RoleAdmin, op("patch-administrator", http.MethodPatch, "/{id}", "Change an administrator",
		"Fields that are left out stay as they are. Another role, another address, or disabling ends the sessions. The last administrator with the role admin stays one."),
		func(ctx context.Context, in *patchAdministrator) (*body[AdministratorView], error) {
			return answer(a.Administrators.Store.ChangeAdministrator(ctx, in.ID, func(w *Account) (SessionEnd, error) {
				if err := changedMeanwhile(in.IfMatch, w.Administrator); err != nil {
					return SessionEnd{}, err
				}
				before := w.Administrator
				b := in.Body
				if b.Email != nil {
					w.Email = strings.ToLower(strings.TrimSpace(*b.Email))
					if err := enroll.CheckEmail(w.Email); err != nil {
						return SessionEnd{}, err
					}
				}
				if b.Name != nil {
					w.Name = *b.Name
					if err := checkName("administrator", w.Name); err != nil {
						return SessionEnd{}, err
					}
				}
				if b.Role != nil {
					w.Role = *b.Role
				}
				switch {
				case b.Disabled == nil:
				case !*b.Disabled:
					w.DisabledAt = time.Time{}
				case w.DisabledAt.IsZero():
					w.DisabledAt = a.now().UTC()
				}
				return SessionEnd{All: w.Role != before.Role || w.Email != before.Email || !w.DisabledAt.IsZero()}, nil
			}))
		})

	add(r, RoleAdmin, op("delete-administrator", http.MethodDelete, "/{id}", "Delete an administrator", "Sessions and saved views go along; the audit log stays. The last administrator with the role admin cannot be deleted."),
		func(ctx context.Context, in *AdministratorParam) (*struct{}, error) {
			return nil, a.Administrators.Store.DeleteAdministrator(ctx, in.ID)
		})

	add(r, RoleAdmin, op("reset-administrator", http.MethodPost, "/{id}/reset", "Reset the password of an administrator",
		"The password is taken away, all sessions end, and a link to choose a new one is in the answer. A second factor stays."),
		func(ctx context.Context, in *AdministratorParam) (*body[invitedView], error) {
			return invited(a.Administrators.Reset(ctx, in.ID))
		})

	add(r, RoleAdmin, op("delete-second-factor", http.MethodDelete, "/{id}/second-factor", "Turn off the second factor of an administrator", "For who has lost the phone and the recovery codes. All sessions end."),
		func(ctx context.Context, in *AdministratorParam) (*struct{}, error) {
			return nil, a.Administrators.ResetKey(ctx, in.ID)
		})

	add(r, RoleAdmin, op("list-administrator-sessions", http.MethodGet, "/{id}/sessions", "List the sessions of an administrator", "Those that go on, newest first."),
		func(ctx context.Context, in *AdministratorParam) (*body[list[SessionView]], error) {
			if _, err := a.Administrators.Store.Administrator(ctx, in.ID); err != nil {
				return nil, err
			}
			return a.sessionsOf(ctx, in.ID)
		})
}
