package enroll

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
)

// Forecast is what settings that are thought of would have done, with the rules
// of today, to the devices that arrived lately.
type Forecast struct {
	Since    time.Time
	Devices  int // that arrived
	Admitted int
	Refused  []ForecastCode // by code, most first; holds too
	Listed   []ForecastDevice
	More     bool // there were more devices than were looked at, or are listed
}

// ForecastCode counts devices.
type ForecastCode struct {
	Code    Code
	Devices int
}

// ForecastDevice is a device that would not be admitted.
type ForecastDevice struct {
	Serial     string
	Channel    Channel
	LastAt     time.Time
	Was        Code  // what it was answered
	Code       Code  // what it would be answered
	State      State // of its row; empty: it has none
	NearMisses []NearMiss
}

// Bounds of a forecast.
const (
	MaxForecastDays  = 90
	maxForecast      = 20_000 // decisions looked at
	maxForecastLists = 100
)

// Forecast looks at the last attempt of each device within some days. change
// makes the settings that are thought of out of those of today. It does not ask
// again what belonged to that attempt alone: a request that has been used since
// was good then, and who came with it is not looked at.
func (r *Restrictions) Forecast(ctx context.Context, days int, change func(*Settings)) (Forecast, error) {
	if days < 1 || days > MaxForecastDays {
		return Forecast{}, Errorf(KindInvalid, "days_range", "%d days are not possible", days).WithHint("Use 1 to %d.", MaxForecastDays)
	}
	now := r.now().UTC()
	f := Forecast{Since: now.AddDate(0, 0, -days)}
	refused := map[Code]int{}
	more, err := r.store.Review(ctx, f.Since, maxForecast, func(d Decision, k Known) {
		f.Devices++
		change(&k.Settings)
		code := foresee(d, k, now)
		if code.Outcome() == OutcomeAllow {
			f.Admitted++
			return
		}
		refused[code]++
		if len(f.Listed) == maxForecastLists {
			f.More = true
			return
		}
		listed := ForecastDevice{Serial: d.Serial, Channel: d.Channel, LastAt: d.At, Was: d.Code, Code: code}
		if k.Device != nil {
			listed.State = k.Device.Effective()
		}
		f.Listed = append(f.Listed, listed)
	})
	if err != nil {
		return Forecast{}, err
	}
	f.More = f.More || more
	for code, n := range refused {
		f.Refused = append(f.Refused, ForecastCode{code, n})
	}
	slices.SortFunc(f.Refused, func(a, b ForecastCode) int {
		return cmp.Or(cmp.Compare(b.Devices, a.Devices), cmp.Compare(a.Code, b.Code))
	})
	for i := range f.Listed {
		if l := &f.Listed[i]; l.Code == DenyNotPreEnrolled || l.Code == HoldPendingApproval {
			if l.NearMisses, err = nearMisses(ctx, r.gate, l.Serial, ""); err != nil {
				return Forecast{}, err
			}
		}
	}
	return f, nil
}

// Enforcing changes settings to what enforcing Pre-enrolled Devices Only makes
// of them.
func Enforcing(s *Settings) { s.PreEnrolledDevicesOnly = ModeEnforce }

// foresee is what an attempt like a recorded one would be answered now.
func foresee(d Decision, k Known, now time.Time) Code {
	if d.Outcome == OutcomeDeny && (strings.HasPrefix(string(d.Code), "deny.token_") || d.Code == DenyIdentityConflict || d.Code == DenyUserMismatch) {
		return d.Code
	}
	return Evaluate(Attempt{At: now, Channel: d.Channel, Platform: d.Platform, Serial: d.Serial, Evidence: d.Evidence, Facts: d.Facts}, k).Code
}
