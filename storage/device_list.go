package storage

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"rollcall/enroll"
)

// A page is found by walking along an index and holding its rows against what
// the index does not serve: a few at first, which mostly fill it, and then
// more, up to pageWork. Where that does not fill the page it is given short,
// and the next one goes on behind. Tests have smaller numbers.
var (
	firstLook = 500
	pageWork  = 5000
)

// Where one filter leaves no more than fewRows devices, they are read and sorted
// after the first look.
var fewRows = 1000

// rowWork is what a row counts that has to be read in the table itself, since
// the index does not hold what is asked.
const rowWork = 5

// condition is a part of a WHERE.
type condition struct {
	text    string
	args    []any
	columns []string // of devices, beside the serial, that the text names
}

func where(text string, args ...any) condition { return condition{text: text, args: args} }

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
	table  string      // devices, or one that names them by device_id and serial
	as     string      // its alias; that of devices is d
	key    string      // leading column after those that within fixes
	number bool        // the key is a number
	serial string      // the serial's column in the same index; equal to key: the walk is in the order of serials
	within []condition // what the index serves
	covers []string    // further columns of devices that the index holds
	states bool        // there is an index of the same order that begins with the state
	rest   []condition // what its rows have to be held against
	desc   bool
}

// place is where a page ended: in which walk, behind which row. A blank key and
// serial stand before all rows of a walk.
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
		c := is(column, value)
		conditions = append(conditions, c)
		walks = append(walks, walk{table: "devices", as: "d", key: "d.serial", serial: "d.serial", within: []condition{c}})
	}
	add(f.UserID, "user_id")
	if f.GroupID != "" {
		conditions = append(conditions, where("EXISTS (SELECT 1 FROM memberships x WHERE x.group_id = ? AND x.serial = d.serial)", f.GroupID))
		walks = append(walks, walk{table: "memberships", as: "m", key: "m.serial", serial: "m.serial", within: []condition{where("m.group_id = ?", f.GroupID)}})
	}
	if f.Tag != "" {
		conditions = append(conditions, where("EXISTS (SELECT 1 FROM device_tags x WHERE x.tag = ? AND x.serial = d.serial)", f.Tag))
		walks = append(walks, walk{table: "device_tags", as: "m", key: "m.serial", serial: "m.serial", within: []condition{where("m.tag = ?", f.Tag)}})
	}
	add(strings.ToLower(f.Model), "model")
	add(strings.ToLower(f.Domain), "domain")
	add(string(f.Source), "source")
	add(string(f.State), "effective")
	add(string(f.Ownership), "ownership")
	add(string(f.Platform), "platform")
	if !f.EndsBy.IsZero() {
		conditions = append(conditions, condition{"d.effective IN ('pre_enrolled', 'invited', 'unenrolled', 'pending_approval') AND d.expires_at > ? AND d.expires_at <= ?",
			[]any{micros(f.EndsAfter), micros(f.EndsBy)}, []string{"effective", "expires_at"}})
	}
	return conditions, walks
}

func is(column, value string) condition {
	return condition{"d." + column + " = ? AND d." + column + " <> ''", []any{value}, []string{column}}
}

// sorts are the walks over all devices.
var sorts = map[enroll.DeviceSort]walk{
	enroll.SortSerial:   {table: "devices", as: "d", key: "d.serial", serial: "d.serial"},
	enroll.SortName:     {table: "devices", as: "d", key: "d.name_key", serial: "d.serial", covers: ordered},
	enroll.SortUpdated:  {table: "devices", as: "d", key: "d.updated_at", serial: "d.serial", number: true, covers: ordered, states: true},
	enroll.SortEnrolled: {table: "devices", as: "d", key: "d.enrolled_at", serial: "d.serial", number: true, covers: ordered, states: true},
	enroll.SortSeen:     {table: "device_seen", as: "s", key: "s.at", serial: "s.serial", number: true, covers: ordered, states: true},
}

// ordered are the columns that the indexes of the orders hold.
var ordered = []string{"effective", "platform", "ownership", "source"}

// ofState is the same order of the devices of one state.
func (w walk) ofState(s enroll.State) walk {
	w.within, w.covers = []condition{where(w.as+".effective = ?", string(s))}, nil
	return w
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
		begins := where(column+" <> '' AND "+column+" >= ? AND "+column+" < ?", f.prefix, after(f.prefix))
		walks = append(walks, walk{table: "devices", as: "d", key: column, serial: "d.serial", within: []condition{begins}, rest: slices.Clone(earlier)})
		not := condition{text: "NOT (" + column + " >= ? AND " + column + " < ?)", args: []any{f.prefix, after(f.prefix)}}
		if f.column != "serial" {
			not.columns = []string{f.column}
		}
		earlier = append(earlier, not)
	}
	return walks
}

// planOf gives the walks of a query.
func planOf(q enroll.DeviceQuery) ([]walk, error) {
	conditions, byFilter := filters(q.DeviceFilter)
	if q.Search != "" {
		if q.Sort != "" || q.Desc {
			return nil, enroll.Errorf(enroll.KindInvalid, "sort_of_search", "the matches of a search come in their own order: by serial, device name, e-mail address, user's name, IMEI, asset tag").
				WithHint("Leave out the order, or the search.")
		}
		walks := searches(q.Search)
		for i := range walks {
			walks[i].rest = append(walks[i].rest, conditions...)
		}
		return walks, nil
	}
	if !q.EndsBy.IsZero() {
		if q.Sort != "" {
			return nil, enroll.Errorf(enroll.KindInvalid, "sort_of_expiring", "devices that expire come in the order of their end").WithHint("Leave out the order, or the filter by the end.")
		}
		return []walk{{table: "devices", as: "d", key: "d.expires_at", serial: "d.serial", number: true, rest: conditions, desc: q.Desc,
			within: []condition{where("d.expires_at > 0 AND d.expires_at > ? AND d.expires_at <= ?", micros(q.EndsAfter), micros(q.EndsBy))}}}, nil
	}
	sort := cmp.Or(q.Sort, enroll.SortSerial)
	w, known := sorts[sort]
	switch {
	case !known:
		return nil, enroll.Errorf(enroll.KindInvalid, "sort_unknown", "devices cannot be sorted by %q", sort)
	case sort == enroll.SortSerial && len(byFilter) > 0:
		w, w.rest = byFilter[0], conditions[1:]
	case q.State != "" && w.states:
		w = w.ofState(q.State)
		q.State = ""
		w.rest, _ = filters(q.DeviceFilter)
	default:
		w.rest = conditions
	}
	w.desc = q.Desc
	return []walk{w}, nil
}

// DeviceList implements enroll.RollStore.
func (s *Store) DeviceList(ctx context.Context, q enroll.DeviceQuery, p enroll.Page) (enroll.DevicePage, error) {
	walks, err := planOf(q)
	if err != nil {
		return enroll.DevicePage{}, err
	}
	var from place
	if p.After != "" {
		if json.Unmarshal([]byte(p.After), &from) != nil || from.Walk < 0 || from.Walk >= len(walks) {
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
		page, err = listDevices(ctx, tx, q, walks, from, p.After != "", pageLimit(p))
		return err
	})
	return page, err
}

// listDevices makes a page, from the beginning or from behind a place.
func listDevices(ctx context.Context, tx *session, q enroll.DeviceQuery, walks []walk, from place, behind bool, limit int) (enroll.DevicePage, error) {
	page := enroll.DevicePage{Devices: []enroll.Device{}}
	work := pageWork
	for i := from.Walk; i < len(walks); i++ {
		w := walks[i]
		var start *place
		if behind && i == from.Walk {
			start = &from
		}
		if work <= 0 {
			page.Next = encode(w.place(i, listedRow{}))
			return page, nil
		}
		rows, last, err := w.read(ctx, tx, q, start, limit-len(page.Devices), &work)
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
			last = new(w.place(i, rows[len(rows)-1]))
		}
		if last != nil {
			last.Walk = i
			page.Next = encode(*last)
			return page, nil
		}
	}
	return page, nil
}

// read takes up to limit rows of a walk that pass. last is where the work of
// the page came to its end; nil: the page is full, or the walk ends.
func (w walk) read(ctx context.Context, tx *session, q enroll.DeviceQuery, start *place, limit int, work *int) (rows []listedRow, last *place, err error) {
	if len(w.rest) == 0 {
		rows, _, err = w.look(ctx, tx, start, limit, limit)
		return rows, nil, err
	}
	for n := min(firstLook, *work/w.work()); ; n = *work / w.work() {
		n = max(n, 1)
		found, last, err := w.look(ctx, tx, start, n, limit-len(rows))
		if last != nil || n > firstLook { // else the walk is short
			*work -= n * w.work()
		}
		rows = append(rows, found...)
		if err != nil || last == nil || len(rows) == limit {
			return rows, nil, err
		}
		if *work < w.work() {
			return rows, last, nil
		}
		start = last
		serials, err := few(ctx, tx, q.DeviceFilter)
		if err != nil {
			return nil, nil, err
		}
		if serials != nil {
			found, err := w.gather(ctx, tx, start, serials, limit-len(rows))
			return append(rows, found...), nil, err
		}
	}
}

// columns are those of devices that the rest of the query looks at.
func (w walk) columns() []string {
	var names []string
	for _, c := range w.rest {
		names = append(names, c.columns...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// work is what one row of the walk counts.
func (w walk) work() int {
	for _, c := range w.columns() {
		if !slices.Contains(w.covers, c) {
			return rowWork
		}
	}
	return 1
}

// behind is the condition for what of a walk comes after a place; nil: all.
func (w walk) behind(start *place) (string, []any) {
	conditions := w.within
	if start != nil {
		conditions = slices.Concat(conditions, []condition{w.beyond(*start)})
	}
	return join(conditions)
}

// listed selects the devices that found names by serial, with their keys, in
// the order of the walk.
func (w walk) listed(found string) string {
	key := w.alias()
	return "SELECT " + columns("v.", deviceNames) + ", f.walk_text, f.walk_number FROM (" + found + ") AS f JOIN devices v ON v.serial = f.serial" + w.order("f."+key, "f.serial")
}

// alias is the name under which keys selects the key.
func (w walk) alias() string {
	if w.number {
		return "walk_number"
	}
	return "walk_text"
}

// look takes up to limit rows of those that pass among the next so many of a
// walk. last is the last one looked at; nil: the walk ends before, or the limit.
func (w walk) look(ctx context.Context, tx *session, start *place, rows, limit int) (found []listedRow, last *place, err error) {
	within, args := w.behind(start)
	from, more := w.table+" "+w.as, ""
	if names := w.columns(); len(names) > 0 && (w.as == "d" || w.work() == 1) {
		more = ", " + columns(w.as+".", names)
	} else if len(names) > 0 {
		more = ", " + columns("d.", names)
		from += " JOIN devices d ON d.id = " + w.as + ".device_id"
	}
	// The rows that are looked at, then those of them that pass. The number is
	// in the text, since PostgreSQL plans for it.
	seen := "SELECT " + w.serial + " AS serial" + w.keys() + more + " FROM " + from + " WHERE " + within + w.order(w.key, w.serial) + " LIMIT " + strconv.Itoa(rows)
	passes, held := join(w.rest)
	err = tx.all(ctx, &found, w.listed("SELECT d.serial, d.walk_text, d.walk_number FROM ("+seen+") AS d WHERE "+passes+w.order("d."+w.alias(), "d.serial")+" LIMIT ?"),
		append(slices.Concat(args, held), limit)...)
	if err != nil || len(found) == limit || len(w.rest) == 0 {
		return found, nil, err
	}
	var end listedRow
	err = tx.get(ctx, &end, "SELECT "+w.serial+" AS serial"+w.keys()+" FROM "+w.table+" "+w.as+" WHERE "+within+w.order(w.key, w.serial)+" LIMIT 1 OFFSET "+strconv.Itoa(rows-1), args...)
	if errors.Is(err, sql.ErrNoRows) {
		return found, nil, nil
	}
	return found, new(w.place(0, end)), err
}

// few gives the serials of the devices that pass one of the filters, where that
// leaves few; nil: none does.
func few(ctx context.Context, tx *session, f enroll.DeviceFilter) ([]string, error) {
	_, byFilter := filters(f)
	for _, w := range byFilter {
		within, args := join(w.within)
		serials := []string{}
		if err := tx.all(ctx, &serials, "SELECT "+w.serial+" FROM "+w.table+" "+w.as+" WHERE "+within+" LIMIT "+strconv.Itoa(fewRows+1), args...); err != nil {
			return nil, err
		}
		if len(serials) <= fewRows {
			return serials, nil
		}
	}
	return nil, nil
}

// gather reads what of a walk passes and has one of these serials, and takes a
// page of it in its order. CROSS JOIN tells SQLite, which knows no numbers of
// rows, where to begin.
func (w walk) gather(ctx context.Context, tx *session, start *place, serials []string, limit int) ([]listedRow, error) {
	if len(serials) == 0 {
		return nil, nil
	}
	type record struct {
		Serial string `json:"serial"`
	}
	records := make([]record, len(serials))
	for i, s := range serials {
		records[i].Serial = s
	}
	from, same := tx.records("serial text")+" CROSS JOIN devices d", " WHERE d.serial = r.serial"
	if w.as != "d" {
		from += " CROSS JOIN " + w.table + " " + w.as
		same += " AND " + w.as + ".device_id = d.id AND " + w.serial + " = d.serial"
	}
	within, args := w.behind(start)
	passes, held := join(w.rest)
	var rows []listedRow
	err := tx.all(ctx, &rows, "WITH picked AS MATERIALIZED (SELECT "+w.serial+" AS serial"+w.keys()+" FROM "+from+same+" AND "+within+" AND "+passes+") "+
		w.listed("SELECT * FROM picked"+w.order(w.alias(), "serial")+" LIMIT ?"),
		append(slices.Concat([]any{encode(records)}, args, held), limit)...)
	return rows, err
}

// Devices implements enroll.RollStore.
func (s *Store) Devices(ctx context.Context, f enroll.DeviceFilter, p enroll.Page) ([]enroll.Device, error) {
	devices := []enroll.Device{}
	limit := pageLimit(p)
	if p.After != "" {
		p.After = encode(place{Serial: p.After})
	}
	for {
		p.Limit = limit - len(devices)
		page, err := s.DeviceList(ctx, enroll.DeviceQuery{DeviceFilter: f}, p)
		devices = append(devices, page.Devices...)
		if err != nil || page.Next == "" || len(devices) == limit {
			return devices, err
		}
		p.After = page.Next
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
