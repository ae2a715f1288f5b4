package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"rollcall/sim/apns"
)

// pushes measures how fast the outbox empties: from the first push that the
// push service accepts until the last result is stored.
func (s *site) pushes(ctx context.Context) error {
	var first atomic.Int64 // nanoseconds since 1970 of the first push; 0: none yet
	topic := s.phones[0].Topic()
	for i := 1; i <= s.scale.Pushes; i++ {
		s.Push.Register(pushToken(i), pushMagic(i), topic, func() { first.CompareAndSwap(0, time.Now().UnixNano()) })
	}
	if err := s.db.pushes(ctx, s.scale.Pushes, s.phones[0].Token()); err != nil {
		return err
	}
	return s.runs(partPush, func() (map[figure]float64, cost, error) {
		first.Store(0)
		before := s.Push.Counts()
		var rate float64
		c, err := s.timed(func() (int, error) {
			if err := s.db.duePushes(ctx); err != nil {
				return 0, err
			}
			err := s.until(ctx, "pushes to be sent", func() (bool, error) {
				n, err := s.db.count(ctx, `SELECT count(*) FROM pushes WHERE due_at > 0`)
				return n == 0, err
			})
			rate = float64(s.scale.Pushes) / time.Since(time.Unix(0, first.Load())).Seconds()
			return s.scale.Pushes, err
		})
		if err != nil {
			return nil, c, err
		}
		after := s.Push.Counts()
		if n := after[apns.Accepted] - before[apns.Accepted]; n != int64(s.scale.Pushes) || after[apns.WrongMagic] != 0 {
			return nil, c, fmt.Errorf("bench: of %d pushes %d were accepted: %v", s.scale.Pushes, n, after)
		}
		return map[figure]float64{pushRate: rate}, c, nil
	})
}

// pushToken and pushMagic are those that database.pushes writes.
func pushToken(i int) []byte { return binary.BigEndian.AppendUint64(make([]byte, 24), uint64(i)) }

func pushMagic(i int) string { return fmt.Sprintf("bench-%08x", i) }
