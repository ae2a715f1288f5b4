package client

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"time"
)

// Overview shows what needs attention and what happened lately.
type Overview struct {
	Session
	Days int `help:"How many days to look back, 90 at most." default:"30"`
}

// overview is what the command prints of the API's answer.
type overview struct {
	AsOf      time.Time `json:"as_of"`
	Attention []struct {
		Severity string `json:"severity"`
		Text     string `json:"text"`
		Hint     string `json:"hint"`
	} `json:"attention"`
	Tiles    json.RawMessage `json:"tiles"`
	Funnel   json.RawMessage `json:"funnel"`
	ToPolicy struct {
		Median  int64 `json:"median_ms"`
		P95     int64 `json:"p95_ms"`
		Devices int   `json:"devices"`
	} `json:"time_to_policy"`
	Refusals []struct {
		Code  string `json:"code"`
		Count int    `json:"count"`
	} `json:"refusals"`
}

// Run implements the command.
func (c *Overview) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, get("/overview", url.Values{"days": {strconv.Itoa(c.Days)}}))
	if err != nil {
		return err
	}
	if s.Output != formTable {
		return s.show(raw, columns("as_of", "pre_enrolled=tiles.pre_enrolled", "invited=tiles.invited", "pending_approval=tiles.pending_approval", "enrolled=tiles.enrolled",
			"refused_7_days=tiles.refused_7_days", "expiring_30_days=tiles.expiring_30_days", "blocked=tiles.blocked", "median_ms=time_to_policy.median_ms", "p95_ms=time_to_policy.p95_ms"))
	}
	var o overview
	if err := json.Unmarshal(raw, &o); err != nil {
		return failed("", "the answer of %s is not an overview", s.base)
	}
	w := bufio.NewWriter(os.Stdout)
	for _, a := range o.Attention {
		fmt.Fprintf(w, "%-5s %s\n      -> %s\n", clean(a.Severity), clean(a.Text), clean(a.Hint))
	}
	if len(o.Attention) == 0 {
		fmt.Fprintln(w, "Nothing needs attention.")
	}
	numbers := func(raw json.RawMessage, names ...string) {
		var values map[string]json.RawMessage
		if json.Unmarshal(raw, &values) != nil {
			return
		}
		for _, name := range names {
			fmt.Fprintf(w, "  %-18s %8s\n", name, clean(string(values[name])))
		}
	}
	fmt.Fprintf(w, "\nDevices, as of %s\n", o.AsOf.Local().Format(time.DateTime))
	numbers(o.Tiles, "pre_enrolled", "invited", "pending_approval", "enrolled", "blocked", "expiring_30_days", "refused_7_days")
	fmt.Fprintf(w, "\nPut on the roll in %d days\n", c.Days)
	numbers(o.Funnel, "imported", "invited", "opened", "admitted", "first_check_in", "policy_complete")
	if o.ToPolicy.Devices > 0 {
		fmt.Fprintf(w, "\nTime to policy of %d devices: median %v, p95 %v\n", o.ToPolicy.Devices, time.Duration(o.ToPolicy.Median)*time.Millisecond, time.Duration(o.ToPolicy.P95)*time.Millisecond)
	}
	if len(o.Refusals) > 0 {
		fmt.Fprintf(w, "\nRefused in %d days\n", c.Days)
		for _, r := range o.Refusals {
			fmt.Fprintf(w, "  %-28s %8d\n", clean(r.Code), r.Count)
		}
	}
	return w.Flush()
}
