package amapi

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

const (
	pullCall = "pubsub.subscriptions.pull"
	// pollPause is how often a waiting pull looks at the clock, which may not
	// be the machine's.
	pollPause = 50 * time.Millisecond

	ackDefault, ackShortest, ackLongest = 10 * time.Second, 10 * time.Second, 600 * time.Second
	maxPull                             = 1000
)

// pubsubRoutes are the calls of Pub/Sub's REST API
// (cloud.google.com/pubsub/docs/reference/rest) that a subscriber needs.
var pubsubRoutes = []route{
	{id: "pubsub.topics.create", method: http.MethodPut, path: "v1/projects/{p}/topics/{t}", serve: (*Cloud).createTopic},
	{id: "pubsub.topics.get", method: http.MethodGet, path: "v1/projects/{p}/topics/{t}", serve: (*Cloud).getTopic},
	{id: "pubsub.topics.delete", method: http.MethodDelete, path: "v1/projects/{p}/topics/{t}", serve: (*Cloud).deleteTopic},
	{id: "pubsub.topics.getIamPolicy", method: http.MethodGet, path: "v1/projects/{p}/topics/{t}:getIamPolicy", serve: (*Cloud).getGrants},
	{id: "pubsub.topics.setIamPolicy", method: http.MethodPost, path: "v1/projects/{p}/topics/{t}:setIamPolicy", serve: (*Cloud).setGrants},
	{id: "pubsub.topics.publish", method: http.MethodPost, path: "v1/projects/{p}/topics/{t}:publish", serve: (*Cloud).publishCall},
	{id: "pubsub.subscriptions.create", method: http.MethodPut, path: "v1/projects/{p}/subscriptions/{s}", serve: (*Cloud).createSubscription},
	{id: "pubsub.subscriptions.get", method: http.MethodGet, path: "v1/projects/{p}/subscriptions/{s}", serve: (*Cloud).getSubscription},
	{id: "pubsub.subscriptions.delete", method: http.MethodDelete, path: "v1/projects/{p}/subscriptions/{s}", serve: (*Cloud).deleteSubscription},
	{id: "pubsub.subscriptions.modifyPushConfig", method: http.MethodPost, path: "v1/projects/{p}/subscriptions/{s}:modifyPushConfig", serve: (*Cloud).modifyPush},
	{id: pullCall, method: http.MethodPost, path: "v1/projects/{p}/subscriptions/{s}:pull"}, // servePull
	{id: "pubsub.subscriptions.acknowledge", method: http.MethodPost, path: "v1/projects/{p}/subscriptions/{s}:acknowledge", serve: (*Cloud).acknowledge},
	{id: "pubsub.subscriptions.modifyAckDeadline", method: http.MethodPost, path: "v1/projects/{p}/subscriptions/{s}:modifyAckDeadline", serve: (*Cloud).modifyDeadline},
}

// message is what a topic was told.
type message struct {
	id        string
	attrs     map[string]string
	data      []byte
	published time.Time
}

// delivery is a message on its way to a subscription.
type delivery struct {
	message  *message
	ackID    string // of the last attempt
	due      time.Time
	attempts int
	acked    bool
	again    bool // comes back once after its acknowledgement
}

type subscription struct {
	name, topic string
	settings    object // as sent
	deadline    time.Duration
	queue       []*delivery
	leases      map[string]*delivery // by ackID
	push        *pushConfig          // nil: pull
}

// shape is PubsubMessage; a push has two of the keys twice.
func (m *message) shape(push bool) object {
	out := object{"messageId": m.id, "publishTime": m.published.UTC().Format(time.RFC3339Nano)}
	if len(m.data) > 0 {
		out["data"] = base64.StdEncoding.EncodeToString(m.data)
	}
	if len(m.attrs) > 0 {
		out["attributes"] = m.attrs
	}
	if push {
		out["message_id"], out["publish_time"] = out["messageId"], out["publishTime"]
	}
	return out
}

// only refuses fields that a message of Pub/Sub does not have.
func only(body object, fields ...string) *refusal {
	for _, name := range sortedKeys(body) {
		if !slices.Contains(fields, name) {
			return invalid("Invalid JSON payload received. Unknown name %q: Cannot find field.", name)
		}
	}
	return nil
}

// owns refuses names in projects of others.
func (c *Cloud) owns(q *call) *refusal {
	if q.ids[0] != c.options.Project {
		return denied("User not authorized to perform this action.", "")
	}
	return nil
}

func (c *Cloud) publishCall(q *call) (any, *refusal) {
	if c.topics[topicOf(q)] == nil {
		return nil, missing()
	}
	if bad := only(q.body, "messages"); bad != nil {
		return nil, bad
	}
	var ids []string
	for _, m := range list(q.body, "messages") {
		if bad := only(m, "data", "attributes", "orderingKey"); bad != nil {
			return nil, bad
		}
		data, err := base64.StdEncoding.DecodeString(text(m, "data"))
		attrs := map[string]string{}
		sent, _ := m["attributes"].(object)
		for name, value := range sent {
			attrs[name], _ = value.(string)
		}
		if err != nil || len(data) == 0 && len(attrs) == 0 {
			return nil, invalid("Some messages are empty, or their data is no base64.")
		}
		ids = append(ids, c.publish(topicOf(q), attrs, data))
	}
	if len(ids) == 0 {
		return nil, invalid("There are no messages.")
	}
	return object{"messageIds": ids}, nil
}

func (c *Cloud) createSubscription(q *call) (any, *refusal) {
	if bad := c.owns(q); bad != nil {
		return nil, bad
	}
	if bad := only(q.body, "name", "topic", "pushConfig", "ackDeadlineSeconds", "retainAckedMessages", "messageRetentionDuration", "labels", "enableMessageOrdering",
		"expirationPolicy", "filter", "deadLetterPolicy", "retryPolicy", "enableExactlyOnceDelivery"); bad != nil {
		return nil, bad
	}
	s := &subscription{name: "projects/" + q.ids[0] + "/subscriptions/" + q.ids[1], topic: text(q.body, "topic"), settings: clone(q.body), deadline: ackDefault, leases: map[string]*delivery{}}
	if n := number(q.body, "ackDeadlineSeconds"); n != 0 {
		s.deadline = time.Duration(n) * time.Second
	}
	var bad *refusal
	push, _ := q.body["pushConfig"].(object)
	if s.push, bad = readPush(push); bad != nil {
		return nil, bad
	}
	switch {
	case c.subscriptions[s.name] != nil:
		return nil, exists("Resource already exists in the project (resource=" + q.ids[1] + ").")
	case c.topics[s.topic] == nil:
		return nil, missing()
	case s.deadline < ackShortest || s.deadline > ackLongest:
		return nil, invalid("Invalid ack deadline given: it must be between 10 and 600 seconds.")
	}
	c.subscriptions[s.name] = s
	return s.render(), nil
}

func (s *subscription) render() object {
	out := clone(s.settings)
	out["name"], out["ackDeadlineSeconds"], out["state"] = s.name, int(s.deadline/time.Second), "ACTIVE"
	return out
}

func (c *Cloud) subscription(q *call) (*subscription, *refusal) {
	if bad := c.owns(q); bad != nil {
		return nil, bad
	}
	s := c.subscriptions["projects/"+q.ids[0]+"/subscriptions/"+q.ids[1]]
	if s == nil {
		return nil, missing()
	}
	return s, nil
}

func (c *Cloud) getSubscription(q *call) (any, *refusal) {
	s, bad := c.subscription(q)
	if bad != nil {
		return nil, bad
	}
	return s.render(), nil
}

func (c *Cloud) deleteSubscription(q *call) (any, *refusal) {
	s, bad := c.subscription(q)
	if bad != nil {
		return nil, bad
	}
	delete(c.subscriptions, s.name)
	return object{}, nil
}

func (c *Cloud) modifyPush(q *call) (any, *refusal) {
	s, bad := c.subscription(q)
	if bad != nil {
		return nil, bad
	}
	if bad := only(q.body, "pushConfig"); bad != nil {
		return nil, bad
	}
	sent, _ := q.body["pushConfig"].(object)
	push, bad := readPush(sent)
	if bad != nil {
		return nil, bad
	}
	s.push = push
	s.settings["pushConfig"] = clone(sent)
	c.signal()
	return object{}, nil
}

// servePull answers a pull, and waits for a message where there is none.
func (c *Cloud) servePull(w http.ResponseWriter, q *call) {
	until := time.NewTimer(c.options.PullWait)
	defer until.Stop()
	var waited bool
	for {
		c.mu.Lock()
		s, bad := c.subscription(q)
		var received []any
		if bad == nil {
			received, bad = c.pull(s, q.body)
		}
		changed := c.changed
		c.mu.Unlock()
		if bad != nil {
			writeJSON(w, bad.code, bad.body())
			return
		}
		if len(received) > 0 || waited || flag(q.body, "returnImmediately") {
			writeJSON(w, http.StatusOK, listed("receivedMessages", received, ""))
			return
		}
		select {
		case <-changed:
		case <-time.After(pollPause):
		case <-until.C:
			waited = true
		case <-q.http.Context().Done():
			return
		case <-c.done:
			waited = true
		}
	}
}

// pull leases what is due.
func (c *Cloud) pull(s *subscription, body object) ([]any, *refusal) {
	if bad := only(body, "maxMessages", "returnImmediately"); bad != nil {
		return nil, bad
	}
	most := min(number(body, "maxMessages"), maxPull)
	switch {
	case most <= 0:
		return nil, invalid("The maxMessages value is not positive.")
	case s.push != nil:
		return nil, precondition("This method is not supported for this subscription type.")
	}
	var out []any
	s.compact()
	for _, d := range s.queue {
		if len(out) == most {
			break
		}
		if d.due.After(c.now()) {
			continue
		}
		s.lease(d, c.now())
		received := object{"ackId": d.ackID, "message": d.message.shape(false)}
		if s.settings["deadLetterPolicy"] != nil {
			received["deliveryAttempt"] = d.attempts
		}
		out = append(out, received)
	}
	return out, nil
}

// lease hands a delivery out until its deadline. Its last ackID ends.
func (s *subscription) lease(d *delivery, now time.Time) {
	delete(s.leases, d.ackID)
	d.ackID, d.attempts, d.due = random(16), d.attempts+1, now.Add(s.deadline)
	s.leases[d.ackID] = d
}

func (s *subscription) compact() {
	s.queue = slices.DeleteFunc(s.queue, func(d *delivery) bool { return d.acked })
}

// ack ends a delivery, or lets it come again where it was spoiled so.
func (s *subscription) ack(d *delivery, now time.Time) {
	delete(s.leases, d.ackID)
	if d.again {
		d.again, d.due = false, now
		return
	}
	d.acked = true
}

func (c *Cloud) acknowledge(q *call) (any, *refusal) {
	s, bad := c.subscription(q)
	if bad != nil {
		return nil, bad
	}
	if bad := only(q.body, "ackIds"); bad != nil {
		return nil, bad
	}
	ids := texts(q.body, "ackIds")
	if len(ids) == 0 {
		return nil, invalid("No ack ids specified.")
	}
	for _, id := range ids {
		// An id whose lease has gone to another is passed over, as Google does.
		if d := s.leases[id]; d != nil {
			s.ack(d, c.now())
		}
	}
	c.signal()
	return object{}, nil
}

func (c *Cloud) modifyDeadline(q *call) (any, *refusal) {
	s, bad := c.subscription(q)
	if bad != nil {
		return nil, bad
	}
	if bad := only(q.body, "ackIds", "ackDeadlineSeconds"); bad != nil {
		return nil, bad
	}
	extension := time.Duration(number(q.body, "ackDeadlineSeconds")) * time.Second
	if extension < 0 || extension > ackLongest {
		return nil, invalid("Invalid ack deadline given: it must be between 0 and 600 seconds.")
	}
	for _, id := range texts(q.body, "ackIds") {
		if d := s.leases[id]; d != nil {
			d.due = c.now().Add(extension)
		}
	}
	c.signal()
	return object{}, nil
}

// notify publishes a resource of an enterprise that wants to hear of it.
func (c *Cloud) notify(e *enterprise, kind string, resource object) {
	if e.unbound || text(e.settings, "pubsubTopic") == "" || !slices.Contains(texts(e.settings, "enabledNotificationTypes"), kind) {
		return
	}
	data, err := json.Marshal(resource)
	if err != nil {
		panic(err) // a value of this package that is no JSON
	}
	c.publish(text(e.settings, "pubsubTopic"), map[string]string{"notificationType": kind}, data)
}

// publish gives a message to every subscription of a topic, and returns its id.
func (c *Cloud) publish(topic string, attrs map[string]string, data []byte) string {
	c.messages++
	m := &message{id: strconv.Itoa(136969346945 + c.messages), attrs: attrs, data: data, published: c.now()}
	c.route(topic, m)
	c.signal()
	return m.id
}

// Publish sends a message as Google would, whatever is in it: a type that does
// not exist, data that is no JSON, a device of another enterprise. The topic is
// a full name.
func (c *Cloud) Publish(topic, notificationType string, data []byte) (messageID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.publish(topic, map[string]string{"notificationType": notificationType}, data)
}

// AddSubscription makes a subscription for pull, and returns its full name.
func (c *Cloud) AddSubscription(id, topic string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := "projects/" + c.options.Project + "/subscriptions/" + url.PathEscape(id)
	c.subscriptions[name] = &subscription{name: name, topic: topic, settings: object{"topic": topic}, deadline: ackDefault, leases: map[string]*delivery{}}
	return name
}

// Unacknowledged is how many messages a subscription still has.
func (c *Cloud) Unacknowledged(subscription string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.subscriptions[subscription]
	if s == nil {
		return 0
	}
	s.compact()
	return len(s.queue)
}
