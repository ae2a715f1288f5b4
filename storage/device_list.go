package storage

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"rollcall/enroll"
)

const (
	// scanBudget is how many rows one page looks at where no index holds what
	// it asks for.
	scanBudget = 500
	// fewRows is up to how many devices one filter leaves for them to be sorted
	// in another order than that of serials.
	fewRows = 1000
)

// condition is a part of a WHERE.
type condition struct {
	text string
	args []any
}

func where(text string, args ...any) condition { return condition{text, args} }

func join(conditions []condition) (string, []any) {
	var texts []string
	var args []any
	for _, c := range conditions {
		texts = append(texts, c.text)
		args = append(args, c.args...)
	}
	return strings.Join(texts, " AND "), args
}

// walk is a way along one index. Its rows come in the order of key, then of
// serial, without sorting.
type walk struct {
	from   string      // tables; the devices are d
	key    string      // leading column after those that within fixes
	number bool        // the key is a number
	serial string      // the serial's column in the same index; equal to key: the walk is in the order of serials
	within []condition // what the index serves
	desc   bool
}

// place is where a page ended: in which walk, behind which row.
type place struct {
	Walk   int    `json:"w,omitempty"`
	Key    any    `json:"k,omitempty"`
	Serial string `json:"s"`
}

func cursorInvalid() error {
	return enroll.Errorf(enroll.KindInvalid, "cursor_invalid", "the cursor is not one that this list gave").WithHint("Use next_cursor of the previous page of the same query, or leave it out to start anew.")
}

// beyond is the condition for what comes after a place.
func (w walk) beyond(p place) condition {
	than := ">"
	if w.desc {
		than = "<"
	}
	if w.key == w.serial {
		return where(w.serial+" "+than+" ?", p.Serial)
	}
	if f, ok := p.Key.(float64); ok && w.number {
		p.Key = int64(f)
	}
	return where("("+w.key+", "+w.serial+") "+than+" (?, ?)", p.Key, p.Serial)
}

func (w walk) order(key, serial string) string {
	way := ""
	if w.desc {
		way = " DESC"
	}
	if w.key == w.serial {
		return " ORDER BY " + serial + way
	}
	return " ORDER BY " + key + way + ", " + serial + way
}

// listedRow is a row and its place in a walk.
type listedRow struct {
	deviceRow
	Text   string `json:"walk_text"`
	Number int64  `json:"walk_number"`
}

func (w walk) place(i int, r listedRow) place {
	p := place{Walk: i, Serial: r.Serial}
	switch {
	case w.key == w.serial:
	case w.number:
		p.Key = r.Number
	default:
		p.Key = r.Text
	}
	return p
}

// keys selects the key under the names of listedRow.
func (w walk) keys() string {
	if w.number {
		return ", '' AS walk_text, " + w.key + " AS walk_number"
	}
	return ", " + w.key + " AS walk_text, 0 AS walk_number"
}

// filters are the conditions of a filter, each with the walk in the order of
// serials that its index makes; the narrowest come first.
func filters(f enroll.DeviceFilter) (conditions []condition, walks []walk) {
	add := func(value, column string) {
		if value == "" {
			return
		}
		c := where("d."+column+" = ? AND d."+column+" <> ''", value)
		conditions = append(conditions, c)
		walks = append(walks, walk{from: "devices d", key: "d.serial", serial: "d.serial", within: []condition{c}})
	}
	add(f.UserID, "user_id")
	if f.GroupID != "" {
		conditions = append(conditions, where("EXISTS (SELECT 1 FROM memberships x WHERE x.group_id = ? AND x.device_id = d.id)", f.GroupID))
		walks = append(walks, walk{from: "memberships m JOIN devices d ON d.id = m.device_id", key: "m.serial", serial: "m.serial", within: []condition{where("m.group_id = ?", f.GroupID)}})
	}
	if f.Tag != "" {
		conditions = append(conditions, where("EXISTS (SELECT 1 FROM device_tags x WHERE x.tag = ? AND x.serial = d.serial)", f.Tag))
		walks = append(walks, walk{from: "device_tags m JOIN devices d ON d.id = m.device_id", key: "m.serial", serial: "m.serial", within: []condition{where("m.tag = ?", f.Tag)}})
	}
	add(strings.ToLower(f.Model), "model")
	add(strings.ToLower(f.Domain), "domain")
	add(string(f.Source), "source")
	add(string(f.State), "effective")
	add(string(f.Ownership), "ownership")
	add(string(f.Platform), "platform")
	return conditions, walks
}

// sorts are the walks over all devices.
var sorts = map[enroll.DeviceSort]walk{
	enroll.SortSerial:   {from: "devices d", key: "d.serial", serial: "d.serial"},
	enroll.SortName:     {from: "devices d", key: "d.name_key", serial: "d.serial"},
	enroll.SortUpdated:  {from: "devices d", key: "d.updated_at", serial: "d.serial", number: true},
	enroll.SortEnrolled: {from: "devices d", key: "d.enrolled_at", serial: "d.serial", number: true},
	enroll.SortSeen:     {from: "device_seen m JOIN devices d ON d.id = m.device_id", key: "m.at", serial: "m.serial", number: true},
}

// searches are the walks of a search, one for each field. A device that two of
// them would find belongs to the first.
func searches(text string) []walk {
	serial, lower := enroll.NormalizeSerial(text), strings.ToLower(strings.TrimSpace(text))
	fields := []struct{ column, prefix string }{{"serial", serial}, {"name_key", lower}, {"email", lower}, {"user_key", lower}, {"imei", lower}, {"asset_key", lower}}
	var walks []walk
	var earlier []condition
	for _, f := range fields {
		if f.prefix == "" {
			continue
		}
		column := "d." + f.column
		// A blank column is in no index, which the engine has to be told.
		is := where(column+" <> '' AND "+column+" >= ? AND "+column+" < ?", f.prefix, after(f.prefix))
		walks = append(walks, walk{from: "devices d", key: column, serial: "d.serial", within: slices.Concat([]condition{is}, earlier)})
		earlier = append(earlier, where("NOT ("+column+" >= ? AND "+column+" < ?)", f.prefix, after(f.prefix)))
	}
	return walks
}

// plan is the walks of a query and what their rows have to be held against.
func planOf(q enroll.DeviceQuery) (walks []walk, rest []condition, err error) {
	conditions, byFilter := filters(q.DeviceFilter)
	if q.Search != "" {
		if q.Sort != "" || q.Desc {
			return nil, nil, enroll.Errorf(enroll.KindInvalid, "sort_of_search", "the matches of a search come in their own order: by serial, device name, e-mail address, user's name, IMEI, asset tag").
				WithHint("Leave out the order, or the search.")
		}
		return searches(q.Search), conditions, nil
	}
	sort := q.Sort
	if sort == "" {
		sort = enroll.SortSerial
	}
	w, known := sorts[sort]
	if !known {
		return nil, nil, enroll.Errorf(enroll.KindInvalid, "sort_unknown", "devices cannot be sorted by %q", sort)
	}
	if sort == enroll.SortSerial && len(byFilter) > 0 {
		w, conditions = byFilter[0], conditions[1:]
	}
	w.desc = q.Desc
	return []walk{w}, conditions, nil
}

// DeviceList implements enroll.RollStore.
func (s *Store) DeviceList(ctx context.Context, q enroll.DeviceQuery, p enroll.Page) (enroll.DevicePage, error) {
	walks, rest, err := planOf(q)
	if err != nil {
		return enroll.DevicePage{}, err
	}
	var from *place
	if p.After != "" {
		from = new(place)
		if json.Unmarshal([]byte(p.After), from) != nil || from.Walk < 0 || from.Walk >= len(walks) {
			return enroll.DevicePage{}, cursorInvalid()
		}
		w := walks[from.Walk]
		_, text := from.Key.(string)
		_, number := from.Key.(float64)
		if w.key != w.serial && (w.number != number || w.number == text) {
			return enroll.DevicePage{}, cursorInvalid()
		}
	}
	var page enroll.DevicePage
	err = s.read(ctx, func(tx *session) (err error) {
		page, err = listDevices(ctx, tx, q, walks, rest, from, pageLimit(p))
		return err
	})
	return page, err
}

func listDevices(ctx context.Context, tx *session, q enroll.DeviceQuery, walks []walk, rest []condition, from *place, limit int) (enroll.DevicePage, error) {
	page := enroll.DevicePage{Devices: []enroll.Device{}}
	first := 0
	if from != nil {
		first = from.Walk
	}
	for i := first; i < len(walks); i++ {
		w := walks[i]
		var start []condition
		if from != nil && i == from.Walk {
			start = []condition{w.beyond(*from)}
		}
		rows, end, err := w.read(ctx, tx, q, start, rest, limit-len(page.Devices))
		if err != nil {
			return page, err
		}
		for _, r := range rows {
			d, err := r.shown()
			if err != nil {
				return page, err
			}
			page.Devices = append(page.Devices, d)
		}
		switch {
		case end != nil:
			end.Walk = i
			page.Next = encode(end)
			return page, nil
		case len(page.Devices) == limit:
			page.Next = encode(w.place(i, rows[len(rows)-1]))
			return page, nil
		}
	}
	return page, nil
}

// read takes up to limit rows of a walk. end is where the page has to end
// although there may be more; nil: it is full, or the walk is at its end.
func (w walk) read(ctx context.Context, tx *session, q enroll.DeviceQuery, start, rest []condition, limit int) (rows []listedRow, end *place, err error) {
	within, args := join(slices.Concat(w.within, start))
	if within == "" {
		within = "true"
	}
	if len(rest) == 0 {
		err = tx.all(ctx, &rows, "SELECT "+columns("d.", deviceNames)+w.keys()+" FROM "+w.from+" WHERE "+within+w.order(w.key, w.serial)+" LIMIT ?", append(args, limit)...)
		return rows, nil, err
	}
	if q.Sort != "" && q.Sort != enroll.SortSerial {
		if ids, err := few(ctx, tx, q.DeviceFilter); err != nil || ids != nil {
			if err == nil {
				rows, err = w.sorted(ctx, tx, ids, start, rest, limit)
			}
			return rows, nil, err
		}
	}
	// The rows that are looked at, then those of them that pass.
	seen := "SELECT d.id AS id, " + w.serial + " AS serial" + w.keys() + ", d.user_id, d.model, d.domain, d.source, d.effective, d.ownership, d.platform FROM " +
		w.from + " WHERE " + within + w.order(w.key, w.serial) + " LIMIT " + strconv.Itoa(scanBudget)
	passes, more := join(rest)
	key := "d.walk_text"
	if w.number {
		key = "d.walk_number"
	}
	err = tx.all(ctx, &rows, "SELECT "+columns("v.", deviceNames)+", f.walk_text, f.walk_number FROM (SELECT d.id, d.serial, d.walk_text, d.walk_number FROM ("+seen+") AS d WHERE "+
		passes+w.order(key, "d.serial")+" LIMIT ?) AS f JOIN devices v ON v.id = f.id"+w.order(strings.Replace(key, "d.", "f.", 1), "f.serial"),
		append(append(slices.Clone(args), more...), limit)...)
	if err != nil || len(rows) == limit {
		return rows, nil, err
	}
	var last struct {
		Serial string `json:"serial"`
		Text   string `json:"walk_text"`
		Number int64  `json:"walk_number"`
	}
	err = tx.get(ctx, &last, "SELECT "+w.serial+" AS serial"+w.keys()+" FROM "+w.from+" WHERE "+within+w.order(w.key, w.serial)+" LIMIT 1 OFFSET "+strconv.Itoa(scanBudget-1), args...)
	if errors.Is(err, sql.ErrNoRows) {
		return rows, nil, nil
	}
	p := w.place(0, listedRow{deviceRow: deviceRow{Serial: last.Serial}, Text: last.Text, Number: last.Number})
	return rows, &p, err
}

// few gives the IDs of the devices that pass the narrowest filter, nil where
// they are many.
func few(ctx context.Context, tx *session, f enroll.DeviceFilter) ([]string, error) {
	_, walks := filters(f)
	for _, w := range walks {
		within, args := join(w.within)
		ids := []string{}
		if err := tx.all(ctx, &ids, "SELECT d.id FROM "+w.from+" WHERE "+within+" LIMIT "+strconv.Itoa(fewRows+1), args...); err != nil {
			return nil, err
		}
		if len(ids) <= fewRows {
			return ids, nil
		}
	}
	return nil, nil
}

// sorted reads a page out of few devices in the order of the walk.
func (w walk) sorted(ctx context.Context, tx *session, ids []string, start, rest []condition, limit int) ([]listedRow, error) {
	all, args := join(slices.Concat(start, rest))
	if all == "" {
		all = "true"
	}
	from := "devices d"
	if w.from != from {
		from = "devices d JOIN device_seen m ON m.device_id = d.id"
	}
	var rows []listedRow
	err := tx.all(ctx, &rows, "WITH picked AS MATERIALIZED (SELECT "+columns("d.", deviceNames)+w.keys()+" FROM "+from+" WHERE "+tx.in("d.id")+" AND "+all+
		") SELECT * FROM picked"+w.order(map[bool]string{true: "walk_number", false: "walk_text"}[w.number], "serial")+" LIMIT ?", append(append([]any{tx.list(ids)}, args...), limit)...)
	return rows, err
}

// Devices implements enroll.RollStore.
func (s *Store) Devices(ctx context.Context, f enroll.DeviceFilter, p enroll.Page) ([]enroll.Device, error) {
	limit := pageLimit(p)
	devices := []enroll.Device{}
	next := ""
	if p.After != "" {
		next = encode(place{Serial: p.After})
	}
	for {
		page, err := s.DeviceList(ctx, enroll.DeviceQuery{DeviceFilter: f}, enroll.Page{Limit: limit - len(devices), After: next})
		if err != nil {
			return nil, err
		}
		devices = append(devices, page.Devices...)
		if next = page.Next; next == "" || len(devices) == limit {
			return devices, nil
		}
	}
}

const maxPage = 1000

// pageLimit keeps a page within what the contract allows.
func pageLimit(p enroll.Page) int {
	if p.Limit < 1 || p.Limit > maxPage {
		return maxPage
	}
	return p.Limit
}

// lastKey stands above every key of a list that runs downwards.
func lastKey(p enroll.Page) string {
	if p.After == "" {
		return after("")
	}
	return p.After
}
