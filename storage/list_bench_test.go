package storage_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"rollcall/enroll"
	"rollcall/storage"
	"rollcall/storage/pgtest"
	"rollcall/storage/storagetest"
)

// listRows is how many devices the list is measured with.
const listRows = 1_000_000

// fill puts listRows devices on the roll, with 10,000 owners and a group of
// every tenth; it gives the ID of an owner.
func fill(b *testing.B, s *storage.Store) (owner string) {
	b.Helper()
	const owners = 10_000
	ids := make([]string, owners)
	for i := range ids {
		u, _, err := s.ChangeUser(b.Context(), enroll.DefaultDomain, fmt.Sprintf("user%05d@example.com", i), func(*enroll.User) (enroll.User, error) {
			return enroll.User{ID: enroll.NewID(), Name: fmt.Sprintf("Name %05d", i)}, nil
		})
		if err != nil {
			b.Fatal(err)
		}
		ids[i] = u.ID
	}
	if err := s.CreateGroup(b.Context(), enroll.Group{ID: "group", Name: "group"}); err != nil {
		b.Fatal(err)
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := rand.New(rand.NewPCG(1, 2))
	states := []enroll.State{enroll.StatePreEnrolled, enroll.StateInvited, enroll.StateEnrolled, enroll.StateEnrolled, enroll.StateUnenrolled}
	sources := []enroll.Source{enroll.SourceCSV, enroll.SourceDEP, enroll.SourceAPI}
	for from := 0; from < listRows; from += 2000 {
		devices := make([]enroll.Device, 2000)
		var members []string
		for i := range devices {
			n := from + i
			d := enroll.Device{ID: enroll.NewID(), Serial: fmt.Sprintf("C%010d", (n*7919)%listRows), Platform: enroll.Platforms[r.IntN(3)], Ownership: enroll.Ownerships[r.IntN(3)],
				Name: fmt.Sprintf("Device %06d", r.IntN(listRows)), UserID: ids[r.IntN(owners)], State: states[r.IntN(len(states))],
				Sources: map[string]enroll.Source{"serial": sources[r.IntN(3)]}, AssetTag: fmt.Sprintf("INV-%07d", n), CreatedAt: start, UpdatedAt: start.Add(time.Duration(n) * time.Second),
				Facts: enroll.Facts{Model: fmt.Sprintf("iPhone %d", r.IntN(20)), IMEI: fmt.Sprintf("49%013d", n), OSVersion: "26.1"}}
			if d.State == enroll.StateEnrolled {
				d.AcceptedAt, d.EnrolledAt = start, start.Add(time.Duration(r.IntN(listRows))*time.Second)
			}
			if n%20 == 0 {
				d.Tags = []string{"tag"}
			}
			if n%10 == 0 {
				members = append(members, d.Serial)
			}
			devices[i] = d
		}
		if err := s.Fill(b.Context(), devices); err != nil {
			b.Fatal(err)
		}
		if err := s.ChangeMembers(b.Context(), "group", members, nil); err != nil {
			b.Fatal(err)
		}
	}
	return ids[7]
}

// BenchmarkDeviceList reads the first page of 100 and the one after half of
// the list, of every filter, every sort, and what is worst among the
// combinations. p99-ms is the target: under 20.
func BenchmarkDeviceList(b *testing.B) {
	storage.UsualLooks(b)
	dsns := map[string]func() string{"sqlite": func() string { return "sqlite:" + filepath.Join(b.TempDir(), "rollcall.db") }}
	if !pgtest.Skipped() {
		dsns["postgres"] = func() string { return pgtest.Database(b, "") }
	}
	for name, dsn := range dsns {
		b.Run(name, func(b *testing.B) {
			s := storagetest.Open(b, dsn())
			began := time.Now()
			owner := fill(b, s)
			b.Logf("%d rows in %v", listRows, time.Since(began).Round(time.Second))
			filter := func(f enroll.DeviceFilter) enroll.DeviceQuery { return enroll.DeviceQuery{DeviceFilter: f} }
			sorted := func(sort enroll.DeviceSort, desc bool, f enroll.DeviceFilter) enroll.DeviceQuery {
				return enroll.DeviceQuery{DeviceFilter: f, Sort: sort, Desc: desc}
			}
			queries := []struct {
				name  string
				query enroll.DeviceQuery
			}{
				{"all", enroll.DeviceQuery{}},
				{"state", filter(enroll.DeviceFilter{State: enroll.StateEnrolled})},
				{"platform", filter(enroll.DeviceFilter{Platform: enroll.PlatformIOS})},
				{"ownership", filter(enroll.DeviceFilter{Ownership: enroll.OwnershipPersonal})},
				{"group", filter(enroll.DeviceFilter{GroupID: "group"})},
				{"user", filter(enroll.DeviceFilter{UserID: owner})},
				{"domain", filter(enroll.DeviceFilter{Domain: "local"})},
				{"source", filter(enroll.DeviceFilter{Source: enroll.SourceDEP})},
				{"tag", filter(enroll.DeviceFilter{Tag: "tag"})},
				{"model", filter(enroll.DeviceFilter{Model: "iPhone 7"})},
				{"nothing", filter(enroll.DeviceFilter{State: enroll.StateExpired})},
				{"search serial", enroll.DeviceQuery{Search: "C00000"}},
				{"search name", enroll.DeviceQuery{Search: "device 1"}},
				{"search user", enroll.DeviceQuery{Search: "name"}},
				{"search asset", enroll.DeviceQuery{Search: "inv-000"}},
				{"search nothing", enroll.DeviceQuery{Search: "zzz"}},
				{"search and state", enroll.DeviceQuery{Search: "device", DeviceFilter: enroll.DeviceFilter{State: enroll.StateExpired}}},
				{"platform and state", filter(enroll.DeviceFilter{Platform: enroll.PlatformIOS, State: enroll.StateInvited})},
				{"platform and nothing", filter(enroll.DeviceFilter{Platform: enroll.PlatformIOS, State: enroll.StateExpired})},
				{"user by name", sorted(enroll.SortName, false, enroll.DeviceFilter{UserID: owner})},
				{"group by name", sorted(enroll.SortName, false, enroll.DeviceFilter{GroupID: "group"})},
				{"expired by enrollment", sorted(enroll.SortEnrolled, true, enroll.DeviceFilter{State: enroll.StatePreEnrolled})},
				{"tag by time", sorted(enroll.SortUpdated, true, enroll.DeviceFilter{Tag: "tag"})},
				{"model by seen", sorted(enroll.SortSeen, true, enroll.DeviceFilter{Model: "iPhone 7"})},
			}
			for _, sort := range enroll.DeviceSorts {
				queries = append(queries, struct {
					name  string
					query enroll.DeviceQuery
				}{"by " + string(sort), sorted(sort, true, enroll.DeviceFilter{})})
			}
			for _, q := range queries {
				b.Run(q.name, func(b *testing.B) {
					var took []time.Duration
					after := ""
					for b.Loop() {
						began := time.Now()
						page, err := s.DeviceList(b.Context(), q.query, enroll.Page{Limit: 100, After: after})
						took = append(took, time.Since(began))
						if err != nil {
							b.Fatal(err)
						}
						after = page.Next // goes on through the list, then begins anew
					}
					slices.Sort(took)
					b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
				})
			}
			b.Run("preview", func(b *testing.B) {
				rule, err := enroll.GroupRule{Conditions: []enroll.Condition{{Field: enroll.FieldSerial, Values: []string{"*77"}}}}.Normalized()
				if err != nil {
					b.Fatal(err)
				}
				for b.Loop() {
					if _, err := s.PreviewRule(b.Context(), rule, 20); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("new rule", func(b *testing.B) {
				rule, err := enroll.GroupRule{Conditions: []enroll.Condition{{Field: enroll.FieldPlatform, Values: []string{"ios"}}}}.Normalized()
				if err != nil {
					b.Fatal(err)
				}
				for b.Loop() {
					if err := s.CreateGroup(b.Context(), enroll.Group{ID: enroll.NewID(), Name: enroll.NewID(), Rule: &rule}); err != nil {
						b.Fatal(err)
					}
					for more := true; more; {
						if more, err = s.EvaluateRules(b.Context()); err != nil {
							b.Fatal(err)
						}
					}
				}
			})
		})
	}
}
