package storagetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"rollcall/enroll"
	"rollcall/storage"
)

func testTransactions(t *testing.T, open func(t *testing.T) *storage.Store) {
	each(t, open, map[string]func(w *world){
		"a snapshot does not see what comes later": func(w *world) {
			w.device("AAA")
			w.device("CCC")
			w.ok(w.Snapshot(w.ctx, func(ctx context.Context) error {
				first, err := w.Devices(ctx, enroll.DeviceFilter{}, enroll.Page{Limit: 1})
				w.ok(err)
				w.device("BBB")
				w.ok(w.DeleteDevice(w.ctx, "CCC"))
				rest, err := w.Devices(ctx, enroll.DeviceFilter{}, enroll.Page{Limit: 10, After: first[0].Serial})
				w.ok(err)
				if len(rest) != 1 || rest[0].Serial != "CCC" {
					w.Errorf("after AAA there is %+v", rest)
				}
				return nil
			}))
			now, err := w.Devices(w.ctx, enroll.DeviceFilter{}, enroll.Page{})
			if w.ok(err); len(now) != 2 || now[1].Serial != "BBB" {
				w.Errorf("afterwards there is %+v", now)
			}
		},
		"the error of a snapshot is the caller's": func(w *world) {
			mine := errors.New("mine")
			runs := 0
			if err := w.Snapshot(w.ctx, func(context.Context) error { runs++; return mine }); !errors.Is(err, mine) || runs != 1 {
				w.Errorf("%v after %d runs", err, runs)
			}
		},
		"transactions that get in each other's way are run again": func(w *world) {
			const serials = 4
			for i := range serials {
				w.device(fmt.Sprint("S", i))
			}
			// Half of them go through the devices the other way round.
			var wg sync.WaitGroup
			for n := range 2 {
				wg.Go(func() {
					err := w.Atomically(w.ctx, func(ctx context.Context) error {
						for i := range serials {
							if n%2 == 1 {
								i = serials - 1 - i
							}
							_, _, err := w.ChangeDevice(ctx, fmt.Sprint("S", i), nil, func(old *enroll.Device, _ string) (enroll.Device, error) {
								d := *old
								d.MaxUses++
								return d, nil
							})
							if err != nil {
								return fmt.Errorf("worded anew for somebody") // as an API does
							}
						}
						return nil
					})
					if err != nil {
						w.Error(err)
					}
				})
			}
			wg.Wait()
			for i := range serials {
				d, err := w.Device(w.ctx, fmt.Sprint("S", i))
				if w.ok(err); d.MaxUses != 2 {
					w.Errorf("S%d was changed %d times", i, d.MaxUses)
				}
			}
		},
	})
}
