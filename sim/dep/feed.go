package dep

import "net/http"

type pageRequest struct {
	Limit  int     `json:"limit"`
	Cursor *string `json:"cursor"`
}

type pageAnswer struct {
	Devices      []wireDevice `json:"devices"`
	Cursor       string       `json:"cursor"`
	FetchedUntil string       `json:"fetched_until"`
	MoreToFollow bool         `json:"more_to_follow"`
}

const defaultPage = 100

func (p pageRequest) limit(most int) int {
	if p.Limit <= 0 {
		return min(defaultPage, most)
	}
	return min(p.Limit, most)
}

// fetchDevices is POST /server/devices: the devices that the account had when
// the fetch began, without op_type.
func (c *Cloud) fetchDevices(q *request) (any, *refusal) {
	var in pageRequest
	if bad := q.decode(&in); bad != nil {
		return nil, bad
	}
	a := q.account
	p := position{fetching: true, end: len(a.members), then: len(a.changes)}
	if in.Cursor != nil && *in.Cursor != "" {
		given, ok := a.readCursor(*in.Cursor)
		switch {
		case !ok || a.expired(given):
			return nil, refuse("INVALID_CURSOR")
		case !given.fetching:
			return nil, refuse("EXHAUSTED_CURSOR")
		}
		p = given
	}
	out := pageAnswer{Devices: []wireDevice{}, FetchedUntil: stamp(c.now())}
	for limit := in.limit(c.options.PageLimit); p.next < p.end && len(out.Devices) < limit; p.next++ {
		if d := a.members[p.next]; d != nil {
			out.Devices = append(out.Devices, a.show(d, q.version))
		}
	}
	for p.next < p.end && a.members[p.next] == nil {
		p.next++
	}
	out.MoreToFollow = p.next < p.end
	if !out.MoreToFollow {
		p = position{next: p.then}
	}
	c.finishPage(q, in, &out, p)
	return out, nil
}

// syncDevices is POST /devices/sync: what changed since the cursor, one entry
// for each change, so that a serial may come several times.
func (c *Cloud) syncDevices(q *request) (any, *refusal) {
	var in pageRequest
	if bad := q.decode(&in); bad != nil {
		return nil, bad
	}
	if in.Cursor == nil || *in.Cursor == "" {
		return nil, refuse("CURSOR_REQUIRED")
	}
	a := q.account
	p, ok := a.readCursor(*in.Cursor)
	switch {
	case !ok || p.fetching:
		return nil, refuse("INVALID_CURSOR")
	case a.expired(p):
		return nil, refuse("EXPIRED_CURSOR")
	}
	until := min(len(a.changes), p.next+in.limit(c.options.PageLimit))
	out := pageAnswer{Devices: make([]wireDevice, 0, until-p.next), FetchedUntil: stamp(c.now()), MoreToFollow: until < len(a.changes)}
	for _, ch := range a.changes[p.next:until] {
		out.Devices = append(out.Devices, a.operate(ch, q.version))
	}
	c.finishPage(q, in, &out, position{next: until})
	return out, nil
}

func (c *Cloud) finishPage(q *request, in pageRequest, out *pageAnswer, p position) {
	p.issued, p.epoch = c.now(), q.account.epoch
	out.Cursor = q.account.cursor(p)
	if q.fault != nil && q.fault.Kind == Stuck && in.Cursor != nil {
		out.Cursor, out.MoreToFollow = *in.Cursor, true
	}
}

// deviceDetails is POST /devices.
func (c *Cloud) deviceDetails(q *request) (any, *refusal) {
	serials, bad := q.serials()
	if bad != nil {
		return nil, bad
	}
	out := make(map[string]wireDevice, len(serials))
	for _, s := range serials {
		if d := q.account.member(s); d != nil {
			w := q.account.show(d, q.version)
			w.ResponseStatus = string(Success)
			out[s] = w
		} else {
			out[s] = wireDevice{SerialNumber: s, ResponseStatus: "NOT_FOUND"}
		}
	}
	return map[string]any{"devices": out}, nil
}

// member finds a device of the account; nil if it is not there.
func (a *Account) member(serial string) *device {
	if d := a.cloud.devices[serial]; d != nil && d.account == a {
		return d
	}
	return nil
}

// disown is POST /devices/disown: for good.
func (c *Cloud) disown(q *request) (any, *refusal) {
	serials, bad := q.serials()
	if bad != nil {
		return nil, bad
	}
	out := make(map[string]Status, len(serials))
	for _, s := range serials {
		d := q.account.member(s)
		if d == nil {
			out[s] = NotAccessible
			continue
		}
		c.release(d, false)
		out[s] = Success
	}
	return map[string]any{"devices": out}, nil
}

// replacementDetails is GET /device/replacementDetails?device=, from version
// 10.
func (c *Cloud) replacementDetails(q *request) (any, *refusal) {
	serial := q.http.URL.Query().Get("device")
	if serial == "" {
		return nil, refuse("DEVICE_ID_REQUIRED")
	}
	r, there := c.replaced[serial]
	if !there || q.account.member(serial) == nil || q.version < versionLatest {
		return nil, &refusal{http.StatusNotFound, "DEVICE_NOT_FOUND"}
	}
	return map[string]string{"serial_number": serial, "original_device_serial_number": r.original, "replacement_date": r.at.Format("2006-01-02")}, nil
}
