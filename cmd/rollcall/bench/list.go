package bench

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// listFilters are queries that each filter the device list by one thing; some
// let many devices pass, some few, one none.
var listFilters = []string{"state=pre_enrolled", "state=enrolled", "state=expired", "platform=ios", "ownership=personal", "group=" + rollGroup, "user=owner-00000008", "domain=local",
	"source=dep", "tag=" + rollTag, "model=iPhone+7"}

// listSorts are the orders of the device list, beside that of serials.
var listSorts = []string{"sort=name", "sort=updated_at", "sort=enrolled_at", "sort=last_seen_at"}

// listSearches match one thing each, the last one nothing.
var listSearches = []string{"q=C0", "q=device+0", "q=owner-0000", "q=owner+0", "q=490", "q=inv-0", "q=zzz"}

// listQueries are those with one filter, sort or search, and those with two
// filters, or a filter and a sort.
func listQueries() (single, pairs []string) {
	single = slices.Concat([]string{"", "order=desc"}, listFilters, listSorts, listSearches)
	for _, sort := range listSorts {
		single = append(single, sort+"&order=desc")
	}
	for i, a := range listFilters {
		for _, b := range listFilters[i+1:] {
			if name, _, _ := strings.Cut(a, "="); !strings.HasPrefix(b, name+"=") {
				pairs = append(pairs, a+"&"+b)
			}
		}
		for _, sort := range listSorts {
			pairs = append(pairs, a+"&"+sort, a+"&"+sort+"&order=desc")
		}
	}
	return single, pairs
}

// lists measures pages of the device list of a full roll.
func (s *site) lists(ctx context.Context) error {
	single, pairs := listQueries()
	err := s.runs(partList, func() (map[figure]float64, cost, error) {
		var slowest float64
		c, err := s.timed(func() (pages int, err error) {
			pages, slowest, err = s.slowest(ctx, listSlowest, single)
			return pages, err
		})
		return map[figure]float64{listSlowest: slowest}, c, err
	})
	if err != nil {
		return err
	}
	_, slowest, err := s.slowest(ctx, listPairs, pairs)
	s.result.Figures[listPairs] = series{slowest}
	return err
}

// longList ends the measurement of a query that takes too long for all its
// pages.
const longList = time.Second

// slowest reads pages of each query, one after the other, and names the one
// with the greatest p95, in milliseconds.
func (s *site) slowest(ctx context.Context, of figure, queries []string) (pages int, p95 float64, err error) {
	for _, query := range queries {
		var took []time.Duration
		cursor, started := "", time.Now()
		for range s.scale.Pages {
			start := time.Now()
			var answer []byte
			if err := s.API(ctx, http.MethodGet, "/devices?limit=100&"+query+cursor, nil, &answer); err != nil {
				return pages, 0, err
			}
			took = append(took, time.Since(start))
			var page struct {
				Next string `json:"next_cursor"`
			}
			if err := json.Unmarshal(answer, &page); err != nil {
				return pages, 0, err
			}
			if cursor = ""; page.Next != "" { // else from the beginning
				cursor = "&cursor=" + url.QueryEscape(page.Next)
			}
			if time.Since(started) > longList {
				break
			}
		}
		pages += len(took)
		slices.Sort(took)
		if v := quantile(took, 0.95); v > p95 {
			p95 = v
			s.result.Slowest[of] = query
		}
	}
	return pages, p95, nil
}
