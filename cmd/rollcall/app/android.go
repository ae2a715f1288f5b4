package app

import (
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"rollcall/admin"
	"rollcall/admin/portal"
	"rollcall/android"
	"rollcall/android/amapi"
	"rollcall/android/google"
	"rollcall/certs/attestation"
	"rollcall/enroll"
	"rollcall/policy"
)

// AndroidOptions are about Android devices with an agent.
type AndroidOptions struct {
	AgentComponent string `help:"The agent's device admin receiver, such as org.example.agent/.AdminReceiver; without it there are no QR codes for Android's setup." name:"agent-component" env:"ROLLCALL_AGENT_COMPONENT"`
	AgentURL       string `help:"Where Android's setup downloads the agent's APK (https)." name:"agent-url" env:"ROLLCALL_AGENT_URL"`
	AgentChecksum  string `help:"SHA-256 of the certificate the APK is signed with: hexadecimal, as apksigner prints it, or base64url." name:"agent-checksum" env:"ROLLCALL_AGENT_CHECKSUM"`

	RequireVerifiedBoot bool `help:"Refuse agents on devices whose hardware does not attest a locked boot loader." env:"ROLLCALL_REQUIRE_VERIFIED_BOOT"`

	AttestationRoots     []string `help:"Certificates in PEM of key attestation to trust beside Google's, for trials with simulated devices." name:"attestation-root" env:"ROLLCALL_ATTESTATION_ROOT"`
	AttestationStatusURL string   `help:"List of revoked attestation keys; attestations are believed only while it is known. Without one (none) no attestation is believed." name:"attestation-status-url" default:"https://android.googleapis.com/attestation/status" env:"ROLLCALL_ATTESTATION_STATUS_URL"`

	FCMKeyFile string `help:"Service-account key (JSON) of the agent's Firebase project, to wake devices that cannot keep a connection." name:"fcm-key-file" env:"ROLLCALL_FCM_KEY_FILE"`
	FCMURL     string `help:"Service to use instead of Firebase Cloud Messaging, for trials." name:"fcm-url" default:"https://fcm.googleapis.com" env:"ROLLCALL_FCM_URL"`
}

func (o *AndroidOptions) agent() (android.Agent, error) {
	if o.AgentComponent == "" {
		return android.Agent{}, nil
	}
	a := android.Agent{Component: o.AgentComponent, URL: o.AgentURL}
	if o.AgentChecksum != "" {
		var err error
		if a.Signature, err = android.ParseChecksum(o.AgentChecksum); err != nil {
			return a, fmt.Errorf("--agent-checksum: %w", err)
		}
	}
	if err := a.Check(); err != nil {
		return a, fmt.Errorf("--agent-component, --agent-url, --agent-checksum: %w", err)
	}
	return a, nil
}

// attestor verifies key attestation by Google's roots and those of trials.
type attestor struct{ *attestation.Verifier }

// newAttestor is nil where there is no list of revoked keys: leaked ones would
// prove any serial.
func (a *App) newAttestor() (android.Attestor, error) {
	revoked := a.newRevocations()
	if revoked == nil {
		if a.opts.RequireVerifiedBoot {
			return nil, errors.New("--require-verified-boot needs a list of revoked keys: --attestation-status-url")
		}
		return nil, nil
	}
	return a.opts.attestor(revoked, a.now)
}

func (o *AndroidOptions) attestor(revoked attestation.Revocations, now func() time.Time) (attestor, error) {
	roots := attestation.GoogleRoots()
	for _, file := range o.AttestationRoots {
		b, err := os.ReadFile(file)
		if err != nil {
			return attestor{}, fmt.Errorf("--attestation-root: %w", err)
		}
		more, err := attestation.ParseRoots(b)
		if err != nil {
			return attestor{}, fmt.Errorf("--attestation-root: %w", err)
		}
		roots = append(roots, more...)
	}
	v, err := attestation.NewVerifier(roots, revoked, now)
	return attestor{v}, err
}

// Verify implements android.Attestor.
func (a attestor) Verify(chain [][]byte, challenge []byte, key crypto.PublicKey) (android.Attested, error) {
	told, err := a.Verifier.Verify(chain, challenge, key)
	return android.Attested{Serial: told.Serial, IMEI: told.IMEI, Brand: told.Brand, Manufacturer: told.Manufacturer, Model: told.Model, VerifiedBoot: told.VerifiedBoot()}, err
}

// secretOfNonces names the key of the agents' nonces.
const secretOfNonces = "agent-nonces/key"

// newAndroid makes the server of the agent protocol and what wakes agents.
func (a *App) newAndroid(gate android.Gate, guard strangers) error {
	fresh := make([]byte, 32)
	rand.Read(fresh)
	key, _, err := a.store.CreateSecret(a.ctx, secretOfNonces, fresh)
	if err != nil {
		return fmt.Errorf("key of the agents' nonces: %w", err)
	}
	agent, err := a.opts.AndroidOptions.agent()
	if err != nil {
		return err
	}
	a.provisioning = android.Provisioning{Server: a.publicURL, Organization: a.opts.Organization, Agent: agent}
	attestor, err := a.newAttestor()
	if err != nil {
		return err
	}
	a.waits = android.NewWaits(a.store, a.now, a.log)
	a.agents = &android.Server{Gate: gate, Roll: a.store, Tokens: a.store, Agents: a.store, Nonces: android.NewNonces(key, a.now), Waits: a.waits, Seen: a.seen,
		Attestor: attestor, RequireVerifiedBoot: a.opts.RequireVerifiedBoot, PublicURL: a.publicURL, Organization: a.opts.Organization, Strangers: guard.heard,
		Kick: a.deliverer.Kick, Stopping: a.stopping, Resume: a.resumed.resume, Now: a.now, Log: a.log}
	if a.opts.FCMKeyFile == "" {
		return nil
	}
	file, err := os.ReadFile(a.opts.FCMKeyFile)
	if err != nil {
		return fmt.Errorf("--fcm-key-file: %w", err)
	}
	account, err := google.ParseServiceAccount(file)
	if err != nil {
		return fmt.Errorf("--fcm-key-file: %w", err)
	}
	client := &http.Client{Timeout: 30 * time.Second, // Google redirects nobody, and a token is not for others
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	a.fcm = &android.FCM{Store: a.store, Tokens: google.NewTokenSource(account, android.FCMScope, client, a.now), Project: account.ProjectID, URL: a.opts.FCMURL,
		Client: client, Now: a.now, Log: a.log}
	a.waits.FCM = true
	return nil
}

// spawnAndroid starts the workers.
func (a *App) spawnAndroid() {
	a.spawn("agents", a.agents.Upkeep)
	a.spawn("wakes of agents", a.waits.Run)
	if a.revoked != nil {
		a.spawn("revoked attestation keys", a.keepRevocations)
	}
	if a.fcm != nil {
		a.spawn("FCM", a.fcm.Run)
	}
}

// androidEncoders are those of the protocols beside Apple's.
func androidEncoders() map[policy.Protocol]policy.Encoder {
	return map[policy.Protocol]policy.Encoder{policy.ProtocolAgent: android.Encoder{}, policy.ProtocolAMAPI: amapi.Encoder{}}
}

// wakeAll wakes whoever brings commands to devices.
func (a *App) wakeAll() {
	a.pusher.Kick()
	a.waits.Kick()
	a.connector.Kick()
}

// protocols finds what an enrollment speaks.
type protocols interface {
	ProtocolOf(ctx context.Context, enrollmentID string) (string, error)
}

// commanders sends commands in the protocol that the device speaks.
type commanders struct {
	of    protocols
	apple admin.Commander
	more  map[policy.Protocol]admin.Commander
}

func (c commanders) to(ctx context.Context, d enroll.Device) (admin.Commander, error) {
	if d.EnrollmentID == "" || d.State != enroll.StateEnrolled {
		return c.apple, nil // which says what is wrong
	}
	protocol, err := c.of.ProtocolOf(ctx, d.EnrollmentID)
	if err != nil {
		return nil, err
	}
	if to := c.more[policy.Protocol(protocol)]; to != nil {
		return to, nil
	}
	return c.apple, nil
}

// Send implements admin.Commander.
func (c commanders) Send(ctx context.Context, d enroll.Device, requestType string, args map[string]any) (string, error) {
	to, err := c.to(ctx, d)
	if err != nil {
		return "", err
	}
	return to.Send(ctx, d, requestType, args)
}

// SendRaw implements admin.Commander.
func (c commanders) SendRaw(ctx context.Context, d enroll.Device, plist []byte) (string, error) {
	to, err := c.to(ctx, d)
	if err != nil {
		return "", err
	}
	return to.SendRaw(ctx, d, plist)
}

// Push implements admin.Commander.
func (c commanders) Push(ctx context.Context, d enroll.Device) error {
	to, err := c.to(ctx, d)
	if err != nil {
		return err
	}
	return to.Push(ctx, d)
}

// commandsOf are the commanders of all protocols.
func (a *App) commandsOf() admin.Commander {
	return commanders{of: a.store, apple: a.commander, more: map[policy.Protocol]admin.Commander{
		policy.ProtocolAgent: &android.Commander{Store: a.store, Kick: a.waits.Kick, Now: a.now},
		policy.ProtocolAMAPI: &amapi.Commander{Store: a.store, Kick: a.connector.Kick, Now: a.now}}}
}

// androidEntry hands an Android device the token of its enrollment request.
func (a *App) androidEntry(ctx context.Context, inv enroll.Invitation) (portal.AndroidEntry, error) {
	secret, err := (&android.Tokens{Store: a.store, Now: a.now}).ForRequest(ctx, inv)
	if err != nil {
		return portal.AndroidEntry{}, err
	}
	p, err := a.provisioning.ForAgent(secret, android.Setup{})
	if err != nil {
		return portal.AndroidEntry{}, err
	}
	entry := portal.AndroidEntry{Link: p.Link, InQR: p.QR != ""}
	content := p.QR
	if content == "" {
		content = p.Link
	}
	code, err := android.NewQR(content)
	if err != nil {
		return portal.AndroidEntry{}, err
	}
	entry.QR = code.SVG()
	return entry, nil
}

// Waiting is how many agents wait for a wake on this server.
func (a *App) Waiting() int { return a.waits.Waiting() }
