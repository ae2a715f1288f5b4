package bench

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"time"

	"rollcall/cmd/rollcall/stage"
)

// exports measures one export of a full roll.
func (s *site) exports(ctx context.Context) error {
	// What was measured before has left the server with a heap of its own.
	if err := s.Restart(ctx); err != nil {
		return err
	}
	var first, all time.Duration
	peak, err := s.peakDuring(ctx, func() (err error) {
		first, all, err = s.export(ctx, s.scale.Roll)
		return err
	})
	if err != nil {
		return err
	}
	for f, v := range map[figure]float64{exportFirst: float64(first) / float64(time.Millisecond), exportSeconds: all.Seconds(), memoryExport: peak} {
		s.result.Figures[f] = series{v}
	}
	return nil
}

// export reads all devices, of which there have to be at least so many.
func (s *site) export(ctx context.Context, devices int) (first, all time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"/api/v1/devices", nil)
	if err != nil {
		return 0, 0, err
	}
	req.Header.Set("Authorization", "Bearer "+s.Token)
	req.Header.Set("Accept", "application/x-ndjson")
	client := stage.NewClient(s.Roots)
	defer client.CloseIdleConnections()
	client.Timeout = 0
	start := time.Now()
	res, err := client.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return 0, 0, fmt.Errorf("bench: the export was answered %d", res.StatusCode)
	}
	lines := bufio.NewScanner(res.Body)
	n := 0
	for ; lines.Scan(); n++ {
		if n == 0 {
			first = time.Since(start)
		}
	}
	if err := lines.Err(); err != nil {
		return 0, 0, err
	}
	if n < devices {
		return 0, 0, fmt.Errorf("bench: the export has %d of %d devices", n, devices)
	}
	return first, time.Since(start), nil
}
