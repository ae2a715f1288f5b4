package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"rollcall/cmd/rollcall/stage"
)

// imports measures how long a CSV file takes that puts new devices on the
// roll, through the API: the plan, from the first byte of the upload, and what
// applies it.
func (s *site) imports(ctx context.Context) error {
	run := 0
	return s.runs(partImport, func() (map[figure]float64, cost, error) {
		run++
		serials := make([]string, s.scale.Import)
		for i := range serials {
			serials[i] = fmt.Sprintf("C%d%s", run, rollSerial(i+1))
		}
		file := rollFile(serials)
		var plan, apply time.Duration
		c, err := s.timed(func() (n int, err error) {
			plan, apply, err = s.imported(ctx, file, len(serials))
			return len(serials), err
		})
		return map[figure]float64{importPlan: plan.Seconds(), importApply: apply.Seconds()}, c, err
	})
}

// largeFile measures the server's memory while it plans and applies a file as
// large as one may be.
func (s *site) largeFile(ctx context.Context) error {
	file := paddedFile(s.scale.Import, s.scale.File)
	// What was measured before has left the server with a heap of its own.
	if err := s.Restart(ctx); err != nil {
		return err
	}
	peak, err := s.peakDuring(ctx, func() error {
		_, _, err := s.imported(ctx, file, s.scale.Import)
		return err
	})
	s.result.Figures[memoryImport] = series{peak}
	return err
}

// paddedFile is a CSV file of so many devices that notes make so many bytes.
func paddedFile(rows, bytes int) []byte {
	var b strings.Builder
	b.Grow(bytes)
	b.WriteString("name,email,mobile,ownership,devicename,SerialNumber,platform,notes\n")
	for i := range rows {
		row := fmt.Sprintf("User %d,user%d@example.com,,corporate,,F%s,ios,", i/10, i/10, rollSerial(i+1))
		// Each row takes its share of what is left.
		b.WriteString(row + strings.Repeat("n", max(0, (bytes-b.Len())/(rows-i)-len(row)-1)) + "\n")
	}
	return []byte(b.String())
}

// imported has a file of new devices planned, then applied.
func (s *site) imported(ctx context.Context, file []byte, rows int) (plan, apply time.Duration, err error) {
	var imp struct {
		ID     string `json:"id"`
		State  string `json:"state"`
		Counts struct {
			New int `json:"new"`
		} `json:"counts"`
	}
	await := func(state string) error {
		for imp.State != state {
			switch imp.State {
			case "uploaded", "planning", "applying":
			default:
				return fmt.Errorf("bench: the import is %s where %s is right", imp.State, state)
			}
			if err := errors.Join(pause(ctx, 50*time.Millisecond), s.API(ctx, http.MethodGet, "/imports/"+imp.ID, nil, &imp)); err != nil {
				return err
			}
		}
		return nil
	}
	start := time.Now()
	if err := s.API(ctx, http.MethodPost, "/imports?domain=local&file_name=bench.csv", stage.Raw{ContentType: "text/csv", Data: file}, &imp); err != nil {
		return 0, 0, err
	}
	if err := await("planned"); err != nil {
		return 0, 0, err
	}
	plan = time.Since(start)
	if imp.Counts.New != rows {
		return 0, 0, fmt.Errorf("bench: %d of %d rows are new", imp.Counts.New, rows)
	}
	start = time.Now()
	if err := s.API(ctx, http.MethodPost, "/imports/"+imp.ID+"/apply?wait=0", nil, &imp); err != nil {
		return 0, 0, err
	}
	err = await("applied")
	return plan, time.Since(start), err
}
