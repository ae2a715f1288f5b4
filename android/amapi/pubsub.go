package amapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"
)

const (
	pullMessages = 100
	ackDeadline  = 60 // seconds
	retention    = "604800s"
)

// PubSub is Google's Pub/Sub, as far as a subscriber needs it
// (cloud.google.com/pubsub/docs/reference/rest).
type PubSub struct{ client *Client }

// received is a message that was pulled.
type received struct {
	AckID   string        `json:"ackId"`
	Message pubsubMessage `json:"message"`
}

// pubsubMessage is PubsubMessage, alike in a pull and in a push.
type pubsubMessage struct {
	ID          string            `json:"messageId"`
	Data        []byte            `json:"data"` // base64 in JSON
	Attributes  map[string]string `json:"attributes"`
	PublishTime time.Time         `json:"publishTime"`
}

// message is what is kept of it.
func (m pubsubMessage) message(at time.Time) Message {
	return Message{ID: m.ID, Kind: m.Attributes["notificationType"], Data: m.Data, PublishedAt: m.PublishTime, ReceivedAt: at, State: MessageNew}
}

// Pull waits for messages, as long as Google lets it.
func (p *PubSub) Pull(ctx context.Context, subscription string) ([]received, error) {
	var out struct {
		Received []json.RawMessage `json:"receivedMessages"`
	}
	err := p.client.do(ctx, call{method: http.MethodPost, path: pathOf(subscription) + ":pull", in: map[string]any{"maxMessages": pullMessages}, out: &out})
	var messages []received
	for _, raw := range out.Received {
		var r received
		if json.Unmarshal(raw, &r) == nil && r.Message.ID != "" {
			messages = append(messages, r)
		}
	}
	return messages, err
}

// Acknowledge ends the delivery of messages.
func (p *PubSub) Acknowledge(ctx context.Context, subscription string, messages []received) error {
	ids := make([]string, len(messages))
	for i, m := range messages {
		ids[i] = m.AckID
	}
	return p.client.do(ctx, call{method: http.MethodPost, path: pathOf(subscription) + ":acknowledge", in: map[string]any{"ackIds": ids}, idempotent: true})
}

// Subscribe makes a topic and a subscription where they are missing, and says
// how its messages are delivered. push "" is pull.
func (p *PubSub) Subscribe(ctx context.Context, topic, subscription, push, account string) error {
	config := map[string]any{}
	if push != "" {
		config = map[string]any{"pushEndpoint": push, "oidcToken": map[string]any{"serviceAccountEmail": account, "audience": push}}
	}
	err := p.client.do(ctx, call{method: http.MethodPut, path: pathOf(topic), in: struct{}{}, idempotent: true})
	if err != nil && CodeOf(err) != Conflict {
		return err
	}
	if err := p.grant(ctx, topic); err != nil {
		return err
	}
	err = p.client.do(ctx, call{method: http.MethodPut, path: pathOf(subscription), idempotent: true, in: map[string]any{"topic": topic, "pushConfig": config, "ackDeadlineSeconds": ackDeadline,
		"messageRetentionDuration": retention, "expirationPolicy": struct{}{}}})
	if CodeOf(err) == Conflict {
		err = p.client.do(ctx, call{method: http.MethodPost, path: pathOf(subscription) + ":modifyPushConfig", in: map[string]any{"pushConfig": config}, idempotent: true})
	}
	return err
}

// The Android Management API publishes as this account.
const (
	publisherRole = "roles/pubsub.publisher"
	publisher     = "serviceAccount:android-cloud-policy@system.gserviceaccount.com"
)

// grant lets the Android Management API publish to a topic.
func (p *PubSub) grant(ctx context.Context, topic string) error {
	type binding struct {
		Role      string          `json:"role"`
		Members   []string        `json:"members"`
		Condition json.RawMessage `json:"condition,omitempty"`
	}
	var policy struct {
		Version  int       `json:"version,omitempty"`
		Etag     string    `json:"etag,omitempty"`
		Bindings []binding `json:"bindings"`
	}
	if err := p.client.do(ctx, call{method: http.MethodGet, path: pathOf(topic) + ":getIamPolicy", out: &policy, idempotent: true}); err != nil {
		return err
	}
	for _, b := range policy.Bindings {
		if b.Role == publisherRole && slices.Contains(b.Members, publisher) && b.Condition == nil {
			return nil
		}
	}
	policy.Bindings = append(policy.Bindings, binding{Role: publisherRole, Members: []string{publisher}})
	return p.client.do(ctx, call{method: http.MethodPost, path: pathOf(topic) + ":setIamPolicy", in: map[string]any{"policy": policy}, idempotent: true})
}

// errNoMessage says that a body is not one that Pub/Sub pushes.
var errNoMessage = errors.New("amapi: the body is not a message of Pub/Sub")
