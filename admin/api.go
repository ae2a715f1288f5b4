package admin

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humamux"
	"github.com/gorilla/mux"

	"rollcall/admin/webhook"
	"rollcall/android"
	"rollcall/android/amapi"
	"rollcall/android/zerotouch"
	"rollcall/dep"
	"rollcall/enroll"
	"rollcall/enroll/importer"
	"rollcall/mdm"
	"rollcall/mdm/apns"
	"rollcall/policy"
	"rollcall/policy/document"
)

// Prefix starts the path of every operation.
const Prefix = "/api/v1"

// Body limits. An operation that says nothing else has bodyLimit.
const (
	bodyLimit    = 1 << 20
	profileLimit = 8 << 20
)

// API serves the admin API. The exported fields up to PublicURL are needed.
type API struct {
	Roll             *enroll.Roll
	Requests         *enroll.Requests
	Codes            *enroll.Codes
	Imports          *importer.Imports
	Gate             *enroll.Gate
	Decisions        enroll.DecisionStore
	Figures          *FigureKeeper
	Examiner         Examiner
	Restrictions     *enroll.Restrictions
	Approvals        *enroll.Approvals
	Policies         policy.Store
	Deliveries       Deliveries
	Queue            Queue
	History          DeviceHistory
	Commands         Commander
	PushCertificates PushCertificates
	Mail             Mailer
	Server           Describer
	Tokens           TokenStore
	Administrators   *Administrators
	Views            ViewStore
	Audit            AuditStore
	Events           EventStore
	Webhooks         webhook.Store
	DEP              *dep.Accounts
	Enterprise       *amapi.Enterprises // the organization at Google
	Google           *amapi.Connector
	ZeroTouch        *zerotouch.Accounts
	EnrollmentTokens *android.Tokens
	Provisioning     android.Provisioning
	Answers          AnswerStore
	Snapshots        Snapshots
	Atomic           Atomic
	Mobileconfig     func(data []byte) (document.Profile, error) // decodes an unsigned or signed profile
	Organization     string                                      // the variable of policies
	PublicURL        string                                      // "https://mdm.example.com", where phones find this server
	Kick             func()                                      // wakes delivery and push workers after a change
	Now              func() time.Time
	Logger           *slog.Logger

	Limit                RateLimit                    // of each token
	FailureLimit         RateLimit                    // of each address, for requests without a valid token
	AllowPrivateWebhooks bool                         // let webhooks lead to addresses that are not public
	EventsChanged        func() <-chan struct{}       // closed when there are more events; nil: streams look at each heartbeat
	RequestID            func(context.Context) string // the request in the log, for the audit log
	Stopping             <-chan struct{}              // closed when the server begins to stop; ends streams and exports

	callerLimits, failureLimits *Limiter
	streams, exports            atomic.Int32
}

// Queue reads the commands of an enrollment.
type Queue interface {
	Commands(ctx context.Context, enrollmentID string, p enroll.Page) ([]mdm.CommandRecord, error)
	CommandRecord(ctx context.Context, id string) (mdm.CommandRecord, error)
}

// Commander sends commands to enrolled devices. enroll.KindConflict where the
// device has no active enrollment, enroll.KindInvalid where the command is not
// one that can be sent.
type Commander interface {
	// Send makes a command of a request type and its arguments. "Disenroll"
	// removes the enrollment profile.
	Send(ctx context.Context, d enroll.Device, requestType string, args map[string]any) (commandID string, err error)
	// SendRaw sends the property list of a command as it is, with a CommandUUID
	// of the server's own.
	SendRaw(ctx context.Context, d enroll.Device, plist []byte) (commandID string, err error)
	// Push wakes the device without a command.
	Push(ctx context.Context, d enroll.Device) error
}

// PushCertificates looks after the MDM push certificate.
type PushCertificates interface {
	// CSR makes a key and gives the certificate request for it, as PEM.
	CSR(ctx context.Context, email string) ([]byte, error)
	// Install takes the certificate; keyPEM is empty where the key was made by
	// CSR. force takes one with another topic than the current one, which
	// every enrolled device would stop listening to.
	Install(ctx context.Context, certPEM, keyPEM []byte, force bool) (apns.Info, error)
	Info(ctx context.Context) (apns.Info, error)
}

// Handler is the whole API below Prefix. It panics where two operations
// contradict each other, which a test would have found.
func (a *API) Handler() http.Handler {
	if a.Logger == nil {
		a.Logger = slog.Default()
	}
	a.callerLimits, a.failureLimits = NewLimiter(a.Limit), NewLimiter(a.FailureLimit)
	router := mux.NewRouter().UseEncodedPath() // a name may hold a slash
	router.Use(unescapeVars)
	router.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.writeProblem(w, r, newProblem(http.StatusNotFound, "route_unknown", fmt.Sprintf("There is no %s.", r.URL.Path), "The operations are listed at "+openAPIPath+"."))
	})
	router.MethodNotAllowedHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.writeProblem(w, r, newProblem(http.StatusMethodNotAllowed, "method_not_allowed", fmt.Sprintf("%s cannot be used with %s.", r.Method, r.URL.Path), "The operations are listed at "+openAPIPath+"."))
	})
	a.mount(router)
	return a.recovered(noStore(router))
}

// mount routes every operation and gives what was declared.
func (a *API) mount(router *mux.Router) huma.API {
	config := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{Title: "Rollcall admin API", Version: "1", Description: "Devices are put on the roll before anyone unboxes them, and enroll through one gate. " +
				"Errors are problem+json (RFC 9457) with a stable `code`; times are RFC 3339 in UTC."},
			Components: &huma.Components{
				Schemas:         huma.NewMapRegistry("#/components/schemas/", schemaName),
				SecuritySchemes: map[string]*huma.SecurityScheme{tokenScheme: {Type: "http", Scheme: "bearer", Description: "An API token. Each includes the roles below it: admin, operator, viewer."}},
			},
			Tags: tags,
		},
		Formats:                      huma.DefaultFormats,
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
	}
	api := humamux.New(router, config)
	api.UseMiddleware(a.limitBody(api), a.authorize(api), a.idempotent(api), a.audited)
	r := routes{api: api, a: a}
	r.document()
	r.settings()
	r.imports()
	r.devices()
	r.commands()
	r.declarations()
	r.groups()
	r.users()
	r.policies()
	r.requests()
	r.requestCodes()
	r.decisions()
	r.overview()
	r.gate()
	r.pushCertificate()
	r.mail()
	r.server()
	r.tokens()
	r.administrators()
	r.sessions()
	r.me()
	r.views()
	r.audit()
	r.events()
	r.webhooks()
	r.dep()
	r.enrollmentTokens()
	r.androidEnterprise()
	r.zeroTouch()
	r.batch()
	return api
}

// schemaName is the name of a type in the document: DeviceView is a Device.
// Types of some rooms are told from those of others by a prefix.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if prefix, ok := schemaPrefixes[t.PkgPath()]; ok {
		return prefix + huma.DefaultSchemaNamer(t, hint)
	}
	return strings.TrimSuffix(huma.DefaultSchemaNamer(t, hint), "View")
}

var schemaPrefixes = map[string]string{
	reflect.TypeFor[document.Document]().PkgPath(): "Policy",
	reflect.TypeFor[dep.Problem]().PkgPath():       "DEP",
	reflect.TypeFor[amapi.Problem]().PkgPath():     "Google",
	reflect.TypeFor[zerotouch.Problem]().PkgPath(): "ZeroTouch",
}

const (
	tokenScheme = "token"
	openAPIPath = Prefix + "/openapi.json"
)

var tags = []*huma.Tag{
	{Name: "Overview", Description: "What needs attention, and what happened lately."},
	{Name: "Devices", Description: "The roll: one record for each device through all its states."},
	{Name: "Commands", Description: "What enrolled devices are told to do, and what they answered."},
	{Name: "Imports", Description: "CSV files that put devices on the roll."},
	{Name: "Groups", Description: "Sets of devices that policies are bound to."},
	{Name: "Users", Description: "Owners of devices, and the domains they belong to."},
	{Name: "Policies", Description: "What devices are to have. Bound before enrollment, it is what a device gets at its first check-in."},
	{Name: "Requests", Description: "Enrollment requests: invitations with a one-time link."},
	{Name: "Gate", Description: "Every arrival of a device and what became of it."},
	{Name: "DEP", Description: "Automated Device Enrollment: accounts at Apple, the devices they list, and the profiles these get."},
	{Name: "Android", Description: "What brings Android devices here."},
	{Name: "Events", Description: "What happens, as a stream, a list and webhooks."},
	{Name: "Audit", Description: "Every change made through this API, in a chain that shows where somebody tampered with it."},
	{Name: "Administrators", Description: "People who sign in to the console, their sessions and saved views."},
	{Name: "Settings", Description: "Enrollment settings, push certificate, tokens."},
}

// routes declares operations.
type routes struct {
	api huma.API
	a   *API
}

// add declares one operation. role "" is for everybody, without a token.
func add[I, O any](r routes, role Role, op huma.Operation, handle func(context.Context, *I) (*O, error)) {
	op.Path = Prefix + op.Path
	if op.MaxBodyBytes == 0 {
		op.MaxBodyBytes = bodyLimit
	}
	if op.BodyReadTimeout == 0 {
		op.BodyReadTimeout = 30 * time.Second
	}
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	op.Responses["default"] = &huma.Response{Description: "Any error", Content: map[string]*huma.MediaType{"application/problem+json": {Schema: schemaOf[Problem](r)}}}
	if role != "" {
		if op.Method == http.MethodPost {
			op.Parameters = append(op.Parameters, idempotencyParam())
		}
		op.Metadata = map[string]any{roleMetadata: role}
		op.Security = []map[string][]string{{tokenScheme: {}}}
		op.Extensions = map[string]any{"x-role": role}
		op.Description = strings.TrimSpace(op.Description + "\n\n" + unauthorizedDescription(role))
	}
	huma.Register(r.api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, r.a.problem(ctx, err)
		}
		return out, nil
	})
}

// schemaOf is the schema of a type, by reference.
func schemaOf[T any](r routes) *huma.Schema {
	return r.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, "")
}

// orCreated documents that a PUT answers 201 where it made something, with the
// body T of its 200.
func orCreated[T any](r routes, op huma.Operation) huma.Operation {
	op.Responses = map[string]*huma.Response{"201": {Description: "Created", Content: map[string]*huma.MediaType{"application/json": {Schema: schemaOf[T](r)}}}}
	return op
}

// document serves the OpenAPI document.
func (r routes) document() {
	type output struct {
		ContentType string `header:"Content-Type"`
		Body        []byte `contentType:"application/openapi+json"`
	}
	add(r, "", huma.Operation{OperationID: "get-openapi", Method: http.MethodGet, Path: strings.TrimPrefix(openAPIPath, Prefix), Tags: []string{"Settings"},
		Summary: "This document", Description: "OpenAPI 3.1, made from the same declarations that route the operations.",
		Responses: map[string]*huma.Response{"200": {Description: "OpenAPI 3.1", Content: map[string]*huma.MediaType{"application/openapi+json": {Schema: &huma.Schema{Type: huma.TypeObject}}}}},
	}, func(context.Context, *struct{}) (*output, error) {
		b, err := r.api.OpenAPI().MarshalJSON()
		return &output{ContentType: "application/openapi+json", Body: b}, err
	})
}

// limitBody refuses a body that says it is too large before it is read. One
// that does not say so is cut off by its reader.
func (a *API) limitBody(api huma.API) func(huma.Context, func(huma.Context)) {
	return func(c huma.Context, next func(huma.Context)) {
		var length int64
		if _, err := fmt.Sscan(c.Header("Content-Length"), &length); err == nil && length > c.Operation().MaxBodyBytes {
			a.refuse(api, c, tooLarge(c.Operation().MaxBodyBytes))
			return
		}
		next(c)
	}
}

// recovered keeps a panic from showing more than that there was one.
func (a *API) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler {
				panic(p)
			}
			a.Logger.ErrorContext(r.Context(), "request panicked", "panic", p, "stack", string(debug.Stack()))
			a.writeProblem(w, r, internal())
		}()
		next.ServeHTTP(w, r)
	})
}

// unescapeVars makes path parameters what the client meant; mux leaves them
// escaped when it matches the escaped path.
func unescapeVars(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		vars := mux.Vars(r)
		for k, v := range vars {
			if plain, err := url.PathUnescape(v); err == nil {
				vars[k] = plain
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (a *API) now() time.Time {
	if a.Now == nil {
		return time.Now()
	}
	return a.Now()
}

func (a *API) kick() {
	if a.Kick != nil {
		a.Kick()
	}
}

// ListParams are the parameters of every list.
type ListParams struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"How many rows at most."`
	Cursor string `query:"cursor" maxLength:"400" doc:"next_cursor of the previous page."`
}

func (in ListParams) page() (enroll.Page, error) {
	after, err := base64.RawURLEncoding.DecodeString(in.Cursor)
	if err != nil || !utf8.Valid(after) || bytes.IndexByte(after, 0) >= 0 {
		return enroll.Page{}, cursorUnknown()
	}
	return enroll.Page{Limit: in.Limit, After: string(after)}, nil
}

func cursorUnknown() error {
	return enroll.Errorf(enroll.KindInvalid, codeCursor, "the cursor is not one that this list gave").WithHint("Use next_cursor of the previous page, or leave it out to start anew.")
}

// codeCursor is the code of a cursor that is not one, whether it is found out
// here or by the store.
const codeCursor = "cursor_invalid"

func encodeCursor(key string) string { return base64.RawURLEncoding.EncodeToString([]byte(key)) }

// list is the body of every list.
type list[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"next_cursor,omitempty" doc:"Give it as cursor to get the next page, which may be empty. Absent: there is no more."`
}

// listOf makes a page of rows; key is what the store continues after.
func listOf[R, T any](rows []R, p enroll.Page, key func(R) string, view func(R) T) list[T] {
	out := list[T]{Items: make([]T, 0, len(rows))}
	for _, r := range rows {
		out.Items = append(out.Items, view(r))
	}
	if p.Limit > 0 && len(rows) >= p.Limit {
		out.NextCursor = encodeCursor(key(rows[len(rows)-1]))
	}
	return out
}

// body is an output that is only a body.
type body[T any] struct {
	Body T
}

// utc is the form of times in answers; a zero time is left out.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}
