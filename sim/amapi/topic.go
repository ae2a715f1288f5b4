package amapi

import (
	"net/url"
	"slices"
)

const (
	// publisher is as whom the Android Management API publishes, and
	// publisherRole what it needs for that
	// (developers.google.com/android/management/notifications).
	publisher     = "serviceAccount:android-cloud-policy@system.gserviceaccount.com"
	publisherRole = "roles/pubsub.publisher"
)

// topic is a topic with who may do what to it: an IAM policy.
type topic struct {
	bindings []any
	etag     string
}

// mayPublish says whether the Android Management API may publish to a topic,
// which may be nil.
func (t *topic) mayPublish() bool {
	return t != nil && slices.ContainsFunc(list(object{"bindings": t.bindings}, "bindings"), func(binding object) bool {
		return text(binding, "role") == publisherRole && slices.Contains(texts(binding, "members"), publisher)
	})
}

func (t *topic) grants() object {
	out := object{"version": 1, "etag": t.etag}
	if len(t.bindings) > 0 {
		out["bindings"] = t.bindings
	}
	return out
}

func topicOf(q *call) string { return "projects/" + q.ids[0] + "/topics/" + q.ids[1] }

// AddTopic makes a topic that the Android Management API may publish to, and
// returns its full name.
func (c *Cloud) AddTopic(id string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := "projects/" + c.options.Project + "/topics/" + url.PathEscape(id)
	c.topics[name] = &topic{bindings: []any{object{"role": publisherRole, "members": []any{publisher}}}, etag: random(8)}
	return name
}

// createTopic makes a topic that nobody but the project may publish to.
func (c *Cloud) createTopic(q *call) (any, *refusal) {
	if bad := c.owns(q); bad != nil {
		return nil, bad
	}
	if bad := only(q.body, "name", "labels", "messageRetentionDuration"); bad != nil {
		return nil, bad
	}
	name := topicOf(q)
	if c.topics[name] != nil {
		return nil, exists("Resource already exists in the project (resource=" + q.ids[1] + ").")
	}
	c.topics[name] = &topic{etag: random(8)}
	return object{"name": name}, nil
}

func (c *Cloud) getTopic(q *call) (any, *refusal) {
	if c.topics[topicOf(q)] == nil {
		return nil, missing()
	}
	return object{"name": topicOf(q)}, nil
}

func (c *Cloud) deleteTopic(q *call) (any, *refusal) {
	if c.topics[topicOf(q)] == nil {
		return nil, missing()
	}
	delete(c.topics, topicOf(q))
	return object{}, nil
}

func (c *Cloud) getGrants(q *call) (any, *refusal) {
	t := c.topics[topicOf(q)]
	if t == nil {
		return nil, missing()
	}
	return t.grants(), nil
}

// setGrants replaces the policy; with an etag, only the one that was read.
func (c *Cloud) setGrants(q *call) (any, *refusal) {
	t := c.topics[topicOf(q)]
	if t == nil {
		return nil, missing()
	}
	if bad := only(q.body, "policy", "updateMask"); bad != nil {
		return nil, bad
	}
	policy, _ := q.body["policy"].(object)
	if bad := only(policy, "bindings", "etag", "version"); bad != nil {
		return nil, bad
	}
	for _, binding := range list(policy, "bindings") {
		if text(binding, "role") == "" || len(texts(binding, "members")) == 0 {
			return nil, invalid("A binding needs a role and members.")
		}
	}
	if etag := text(policy, "etag"); etag != "" && etag != t.etag {
		return nil, &refusal{code: 409, status: "ABORTED", message: "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff."}
	}
	bindings, _ := policy["bindings"].([]any)
	t.bindings, t.etag = clone(bindings), random(8)
	return t.grants(), nil
}
