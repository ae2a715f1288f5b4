package amapi

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/enroll"
)

// TestStrangers: identifiers that are made up are remembered, and their address
// has to wait; another one has not.
func TestStrangers(t *testing.T) {
	var s strangers
	now := time.Unix(1_800_000_000, 0)
	for i := range strangersMost {
		if wait := s.wait("192.0.2.1:1", now); wait != 0 {
			t.Fatalf("after %d: %v", i, wait)
		}
		s.note(fmt.Sprint(i), fmt.Sprintf("192.0.2.1:%d", i), now)
	}
	if !s.known("0", now) || s.known("other", now) {
		t.Error("identifiers are not remembered")
	}
	if wait := s.wait("192.0.2.1:99", now.Add(time.Second)); wait != strangersLife-time.Second {
		t.Errorf("it waits %v", wait)
	}
	if s.wait("192.0.2.2:1", now) != 0 {
		t.Error("another address waits")
	}
	later := now.Add(strangersLife)
	if s.known("0", later) || s.wait("192.0.2.1:1", later) != 0 {
		t.Error("it does not end")
	}
	for i := range 2 * strangersKept {
		s.note(fmt.Sprint(i), fmt.Sprintf("198.51.%d.%d:1", i/256, i%256), later)
	}
	if len(s.ids) > strangersKept || len(s.seen) > strangersKept {
		t.Errorf("%d identifiers and %d addresses are kept", len(s.ids), len(s.seen))
	}
}

// TestLookupNamesNobody: errors go to the log, identifiers of devices do not.
func TestLookupNamesNobody(t *testing.T) {
	b := newBench(t)
	_, err := b.client.ProvisioningInfo(t.Context(), "SECRETID")
	if CodeOf(err) != NotFound || strings.Contains(err.(*Error).Call, "SECRETID") {
		t.Errorf("%v", err)
	}
}

// TestApprovable: an admin's word mends what the roll can mend.
func TestApprovable(t *testing.T) {
	for name, c := range map[string]struct {
		record Record
		ok     bool
	}{
		"not on the roll": {Record{State: RecordQuarantined, Serial: "R58N00000A1", Mode: FullyManaged, Code: enroll.DenyNotPreEnrolled}, true},
		"held":            {Record{State: RecordQuarantined, Serial: "R58N00000A1", Mode: FullyManaged, Code: enroll.HoldPendingApproval}, true},
		"blocked":         {Record{State: RecordQuarantined, Serial: "R58N00000A1", Mode: FullyManaged, Code: enroll.DenyBlocked}, false},
		"other platform":  {Record{State: RecordQuarantined, Serial: "R58N00000A1", Mode: FullyManaged, Code: enroll.DenyPlatform}, false},
		"a placeholder":   {Record{State: RecordQuarantined, Serial: "unknown", Mode: FullyManaged, Code: enroll.DenyNotPreEnrolled}, false},
		"replaced":        {Record{State: RecordQuarantined, Serial: "R58N00000A1", Mode: FullyManaged, Code: enroll.DenyIdentityConflict}, false},
		"removed":         {Record{State: RecordRemoved, Serial: "R58N00000A1", Mode: FullyManaged, Code: enroll.DenyNotPreEnrolled}, false},
	} {
		if err := Approvable(c.record); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
