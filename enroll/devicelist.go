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
// One filter, one sort and a search are each read through an index of their own.
// Filters together, or a filter and another order than that of serials, cost as
// much as the rows that have to be looked at to fill the page: few as a rule, at
// worst all that pass one of the filters.
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

// DevicePage is a part of the device list. It is full unless the list ends.
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
