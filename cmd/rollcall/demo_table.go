package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"
)

type decisionView struct {
	ID, Serial, Channel, Evidence, Outcome, Code string
	Text, Fix, Person                            string
	NearMisses                                   []struct{ Serial, Reason string } `json:"near_misses"`
}

type receiptView struct {
	CompletedAt         time.Time `json:"completed_at"`
	TimeToPolicySeconds float64   `json:"time_to_policy_seconds"`
	Items               []struct {
		Title, State, Error string
		Policies            []struct{ Policy string }
	}
	Notes []struct{ State, Pointer, Text string }
}

func (d *demo) table(ctx context.Context) error {
	fmt.Fprintln(d.out)
	w := tabwriter.NewWriter(d.out, 2, 8, 2, ' ', 0)
	fmt.Fprintln(w, "DEVICE\tSERIAL\tCHANNEL\tEVIDENCE\tDECISION\tPOLICY\tTIME TO POLICY")
	var shown *arrival
	var receipt receiptView
	for i, a := range d.arrivals {
		dec, policy, took := a.decision, "-", "-"
		if a.refusal == "" {
			r, err := d.receipt(ctx, a.serial)
			if err != nil {
				return err
			}
			done := 0
			for _, i := range r.Items {
				if i.State == "applied" {
					done++
				}
			}
			if shown == nil || len(r.Items) > len(receipt.Items) {
				shown, receipt = &d.arrivals[i], r
			}
			policy, took = fmt.Sprintf("%d of %d applied", done, len(r.Items)), fmt.Sprintf("%.0f ms", r.TimeToPolicySeconds*1000)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", a.who, a.serial, dec.Channel, dec.Evidence, dec.Code, policy, took)
	}
	if err := w.Flush(); err != nil || shown == nil {
		return err
	}
	return d.showReceipt(*shown, receipt)
}

// showReceipt tells what one device got of its policies, and what not.
func (d *demo) showReceipt(a arrival, r receiptView) error {
	fmt.Fprintf(d.out, "\nWhat %s (%s) got, %.0f ms after it enrolled:\n", a.who, a.serial, r.TimeToPolicySeconds*1000)
	w := tabwriter.NewWriter(d.out, 2, 8, 2, ' ', 0)
	for _, i := range r.Items {
		from := "-"
		if len(i.Policies) > 0 {
			from = i.Policies[0].Policy
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", i.Title, i.State, from, i.Error)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "  %s\t%s\t\t%s\n", n.Pointer, n.State, n.Text)
	}
	return w.Flush()
}

// decision is the newest one about a serial.
func (d *demo) decision(ctx context.Context, serial string) (decisionView, error) {
	var list struct{ Items []decisionView }
	if err := d.API(ctx, http.MethodGet, "/decisions?limit=1&serial="+url.QueryEscape(serial), nil, &list); err != nil {
		return decisionView{}, err
	}
	if len(list.Items) == 0 {
		return decisionView{}, fmt.Errorf("no decision was recorded for %s", serial)
	}
	return list.Items[0], nil
}

// receipt waits until every item of a device's policy has its final answer.
func (d *demo) receipt(ctx context.Context, serial string) (receiptView, error) {
	var r receiptView
	err := d.await(ctx, func() (bool, error) {
		err := d.API(ctx, http.MethodGet, "/devices/"+url.PathEscape(serial)+"/receipt", nil, &r)
		return !r.CompletedAt.IsZero(), err
	})
	return r, err
}

// await asks until something is done.
func (d *demo) await(ctx context.Context, done func() (bool, error)) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it was not done in time: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // the demo's own literals
	}
	return b
}

// explain shows a refusal from all three sides.
func (d *demo) explain(context.Context) error {
	for _, a := range d.arrivals {
		if a.refusal == "" {
			continue
		}
		dec := a.decision
		fmt.Fprintf(d.out, "\n%s (%s) was refused: %s\n", a.who, a.serial, dec.Code)
		fmt.Fprintf(d.out, "  the phone got    %s\n", a.refusal)
		fmt.Fprintf(d.out, "  the admin reads  %s\n  and can          %s\n", dec.Text, dec.Fix)
	}
	return nil
}
