package enroll

import "context"

// DeviceSort is an order of the device list.
type DeviceSort string

// The orders. Devices that are equal in it follow in the order of serials.
const (
	SortSerial   DeviceSort = "serial"
	SortName     DeviceSort = "name" // lower case; devices without a name come first
	SortUpdated  DeviceSort = "updated_at"
	SortEnrolled DeviceSort = "enrolled_at"  // never enrolled comes first
	SortSeen     DeviceSort = "last_seen_at" // to the minute; never seen comes first
)

// DeviceSorts lists the orders.
var DeviceSorts = []DeviceSort{SortSerial, SortName, SortUpdated, SortEnrolled, SortSeen}

// DeviceQuery asks for a part of the device list.
//
// One filter, one sort, a sort by time of the devices of one state, and a search
// are each read through an index of their own. For other combinations a bounded
// number of rows is looked at for a page, about 5,000: the page may be short
// then, or empty, and the next one goes on from there.
//
// Search is the beginning of a serial, device name, e-mail address or name of
// the owner, IMEI or asset tag. Its matches come in that order, so it cannot be
// sorted; KindInvalid otherwise.
type DeviceQuery struct {
	DeviceFilter
	Search string
	Sort   DeviceSort // empty: SortSerial
	Desc   bool
}

// DevicePage is a part of the device list. The list goes on for as long as there
// is Next, however few devices the page has.
type DevicePage struct {
	Devices []Device
	Next    string // Page.After of the next page; empty: there is no more
}

// AllDevices calls yield for every device that passes the filter, in the order
// of serials, holding one page in memory.
func (r *Roll) AllDevices(ctx context.Context, f DeviceFilter, yield func(Device) error) error {
	for p := (Page{Limit: 1000}); ; {
		devices, err := r.Devices(ctx, f, p)
		if err != nil {
			return err
		}
		for _, d := range devices {
			if err := yield(d); err != nil {
				return err
			}
		}
		if len(devices) < p.Limit {
			return nil
		}
		p.After = devices[len(devices)-1].Serial
	}
}
