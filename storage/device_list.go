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

// Where no index holds what a page asks for, the rows of the nearest one are
// looked at, first few and then more. What does not fill the page by then is
// rare at this end of the list: all that pass are read and sorted.
var looks = []int{500, 4000}

// fewRows is up to how many devices one filter leaves for that to be done
// already after the first look. Tests have smaller numbers.
var fewRows = 1000

// condition is a part of a WHERE.
type condition struct {
	text string
	args []any
}

func where(text string, args ...any) condition { return condition{text, args} }

// join is what all of them say; of none: true.
func join(conditions []condition) (string, []any) {
	if len(conditions) == 0 {
		return "true", nil
	}
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
	join   string      // adds the table of the key to others
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
	enroll.SortSeen:     {from: "device_seen s JOIN devices d ON d.id = s.device_id", join: " JOIN device_seen s ON s.device_id = d.id", key: "s.at", serial: "s.serial", number: true},
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
		var start *place
		if from != nil && i == from.Walk {
			start = from
		}
		rows, err := w.read(ctx, tx, q, start, rest, limit-len(page.Devices))
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
		if len(page.Devices) == limit {
			page.Next = encode(w.place(i, rows[len(rows)-1]))
			return page, nil
		}
	}
	return page, nil
}

// read takes limit rows of a walk, fewer only where it ends.
func (w walk) read(ctx context.Context, tx *session, q enroll.DeviceQuery, start *place, rest []condition, limit int) ([]listedRow, error) {
	var rows []listedRow
	if len(rest) == 0 {
		within, args := w.behind(start)
		err := tx.all(ctx, &rows, "SELECT "+columns("d.", deviceNames)+w.keys()+" FROM "+w.from+" WHERE "+within+w.order(w.key, w.serial)+" LIMIT ?", append(args, limit)...)
		return rows, err
	}
	conditions, byFilter := filters(q.DeviceFilter)
	for i, n := range looks {
		found, last, err := w.look(ctx, tx, start, rest, n, limit-len(rows))
		rows = append(rows, found...)
		if err != nil || last == nil || len(rows) == limit {
			return rows, err
		}
		start = last
		if i > 0 {
			continue
		}
		serials, err := few(ctx, tx, byFilter)
		if err != nil {
			return nil, err
		}
		if serials != nil {
			found, err := w.over(q).gather(ctx, tx, start, append(conditions, where(tx.in("d.serial"), tx.list(serials))), limit-len(rows))
			return append(rows, found...), err
		}
	}
	if q.Search == "" && w.key != w.serial {
		narrow := w
		narrow.from, narrow.within = byFilter[0].from+w.join, slices.Concat(w.within, byFilter[0].within)
		w, rest = narrow, conditions[1:]
	}
	found, err := w.gather(ctx, tx, start, rest, limit-len(rows))
	return append(rows, found...), err
}

// over is the same order over all devices, where the walk may be that of a
// filter.
func (w walk) over(q enroll.DeviceQuery) walk {
	if q.Search == "" && w.key == w.serial {
		all := sorts[enroll.SortSerial]
		all.desc = w.desc
		return all
	}
	return w
}

// behind is the condition for what of a walk comes after a place; nil: all.
func (w walk) behind(start *place) (string, []any) {
	conditions := w.within
	if start != nil {
		conditions = slices.Concat(conditions, []condition{w.beyond(*start)})
	}
	return join(conditions)
}

// look takes up to limit rows of those that pass among the next so many of a
// walk. last is the last one looked at; nil: the walk ends before.
func (w walk) look(ctx context.Context, tx *session, start *place, rest []condition, rows, limit int) (found []listedRow, last *place, err error) {
	within, args := w.behind(start)
	// The rows that are looked at, then those of them that pass. The number is
	// in the text, since PostgreSQL plans for it.
	seen := "SELECT d.id AS id, " + w.serial + " AS serial" + w.keys() + ", d.user_id, d.model, d.domain, d.source, d.effective, d.ownership, d.platform FROM " +
		w.from + " WHERE " + within + w.order(w.key, w.serial) + " LIMIT " + strconv.Itoa(rows)
	passes, more := join(rest)
	key := "d.walk_text"
	if w.number {
		key = "d.walk_number"
	}
	err = tx.all(ctx, &found, "SELECT "+columns("v.", deviceNames)+", f.walk_text, f.walk_number FROM (SELECT d.id, d.serial, d.walk_text, d.walk_number FROM ("+seen+") AS d WHERE "+
		passes+w.order(key, "d.serial")+" LIMIT ?) AS f JOIN devices v ON v.id = f.id"+w.order(strings.Replace(key, "d.", "f.", 1), "f.serial"),
		append(append(slices.Clone(args), more...), limit)...)
	if err != nil || len(found) == limit {
		return found, nil, err
	}
	var end struct {
		Serial string `json:"serial"`
		Text   string `json:"walk_text"`
		Number int64  `json:"walk_number"`
	}
	err = tx.get(ctx, &end, "SELECT "+w.serial+" AS serial"+w.keys()+" FROM "+w.from+" WHERE "+within+w.order(w.key, w.serial)+" LIMIT 1 OFFSET "+strconv.Itoa(rows-1), args...)
	if errors.Is(err, sql.ErrNoRows) {
		return found, nil, nil
	}
	p := w.place(0, listedRow{deviceRow: deviceRow{Serial: end.Serial}, Text: end.Text, Number: end.Number})
	return found, &p, err
}

// few gives the serials of the devices that pass one of the filters, where that
// leaves few; nil: none does.
func few(ctx context.Context, tx *session, byFilter []walk) ([]string, error) {
	for _, w := range byFilter {
		within, args := join(w.within)
		serials := []string{}
		if err := tx.all(ctx, &serials, "SELECT "+w.serial+" FROM "+w.from+" WHERE "+within+" LIMIT "+strconv.Itoa(fewRows+1), args...); err != nil {
			return nil, err
		}
		if len(serials) <= fewRows {
			return serials, nil
		}
	}
	return nil, nil
}

// gather reads all rows of a walk that pass, and takes a page of them in its
// order.
func (w walk) gather(ctx context.Context, tx *session, start *place, rest []condition, limit int) ([]listedRow, error) {
	within, args := w.behind(start)
	passes, more := join(rest)
	key := map[bool]string{true: "walk_number", false: "walk_text"}[w.number]
	var rows []listedRow
	err := tx.all(ctx, &rows, "WITH picked AS MATERIALIZED (SELECT d.id, "+w.serial+" AS serial"+w.keys()+" FROM "+w.from+" WHERE "+within+" AND "+passes+") SELECT "+columns("v.", deviceNames)+
		", f.walk_text, f.walk_number FROM (SELECT * FROM picked"+w.order(key, "serial")+" LIMIT ?) AS f JOIN devices v ON v.id = f.id"+w.order("f."+key, "f.serial"),
		append(slices.Concat(args, more), limit)...)
	return rows, err
}

// Devices implements enroll.RollStore.
func (s *Store) Devices(ctx context.Context, f enroll.DeviceFilter, p enroll.Page) ([]enroll.Device, error) {
	if p.After != "" {
		p.After = encode(place{Serial: p.After})
	}
	page, err := s.DeviceList(ctx, enroll.DeviceQuery{DeviceFilter: f}, p)
	return page.Devices, err
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
