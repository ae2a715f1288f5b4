package amapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const clouddpc = "androidwork-clouddpc"

// zeroTouchRoutes are the calls of the zero-touch customer API
// (androiddeviceprovisioning.googleapis.com, customers.*).
var zeroTouchRoutes = []route{
	{id: "zerotouch.customers.list", method: http.MethodGet, path: "v1/customers", serve: (*Cloud).listCustomers},
	{id: "zerotouch.customers.dpcs.list", method: http.MethodGet, path: "v1/customers/{c}/dpcs", serve: forCustomer((*Cloud).listDPCs)},
	{id: "zerotouch.customers.devices.list", method: http.MethodGet, path: "v1/customers/{c}/devices", serve: forCustomer((*Cloud).listClaimed)},
	{id: "zerotouch.customers.devices.get", method: http.MethodGet, path: "v1/customers/{c}/devices/{d}", serve: forCustomer((*Cloud).getClaimed)},
	{id: "zerotouch.customers.devices.applyConfiguration", method: http.MethodPost, path: "v1/customers/{c}/devices:applyConfiguration", serve: forCustomer((*Cloud).applyConfiguration)},
	{id: "zerotouch.customers.devices.removeConfiguration", method: http.MethodPost, path: "v1/customers/{c}/devices:removeConfiguration", serve: forCustomer((*Cloud).removeConfiguration)},
	{id: "zerotouch.customers.devices.unclaim", method: http.MethodPost, path: "v1/customers/{c}/devices:unclaim", serve: forCustomer((*Cloud).unclaim)},
	{id: "zerotouch.customers.configurations.create", method: http.MethodPost, path: "v1/customers/{c}/configurations", serve: forCustomer((*Cloud).createConfiguration)},
	{id: "zerotouch.customers.configurations.list", method: http.MethodGet, path: "v1/customers/{c}/configurations", serve: forCustomer((*Cloud).listConfigurations)},
	{id: "zerotouch.customers.configurations.get", method: http.MethodGet, path: "v1/customers/{c}/configurations/{n}", serve: forCustomer((*Cloud).getConfiguration)},
	{id: "zerotouch.customers.configurations.patch", method: http.MethodPatch, path: "v1/customers/{c}/configurations/{n}", serve: forCustomer((*Cloud).patchConfiguration)},
	{id: "zerotouch.customers.configurations.delete", method: http.MethodDelete, path: "v1/customers/{c}/configurations/{n}", serve: forCustomer((*Cloud).deleteConfiguration)},
}

// customer is an organization in the zero-touch portal.
type customer struct {
	id, company    string
	devices        []*claim
	configurations []object // in the order they were made
	made           int      // numbers ids
}

// claim is a device that a reseller sold to a customer.
type claim struct {
	id            string
	phone         *Device
	configuration string // name; "": none
}

// AddCustomer makes a customer of the zero-touch portal, and returns its name.
func (c *Cloud) AddCustomer(company string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	z := &customer{id: strconv.Itoa(100000000 + len(c.customers)), company: company}
	c.customers[z.id] = z
	return z.name()
}

// Claim is the reseller who registers devices for a customer.
func (c *Cloud) Claim(customer string, devices ...*Device) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	z := c.customers[strings.TrimPrefix(customer, "customers/")]
	if z == nil {
		return fmt.Errorf("amapi: %q is no customer", customer)
	}
	for _, d := range devices {
		for _, other := range c.customers {
			if other.claimOf(d) != nil {
				return fmt.Errorf("amapi: %s has a customer", d.hardware.Serial)
			}
		}
		z.made++
		z.devices = append(z.devices, &claim{id: strconv.Itoa(1000000 + z.made), phone: d, configuration: z.standard()})
	}
	return nil
}

// SetupZeroTouch sets a device up as it comes out of the box of a customer: with
// the extras of the configuration that is applied to it.
func (d *Device) SetupZeroTouch(ctx context.Context) error {
	extras, err := d.zeroTouchExtras()
	if err != nil {
		return err
	}
	return d.Setup(ctx, extras)
}

func (d *Device) zeroTouchExtras() (string, error) {
	c := d.cloud
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, z := range c.customers {
		if k := z.claimOf(d); k != nil && k.configuration != "" {
			if extras := text(z.configuration(k.configuration), "dpcExtras"); extras != "" {
				return extras, nil
			}
		}
	}
	return "", errors.New("amapi: zero-touch has no configuration with extras for the device")
}

func (z *customer) name() string { return "customers/" + z.id }

func (z *customer) claimOf(d *Device) *claim {
	i := slices.IndexFunc(z.devices, func(k *claim) bool { return k.phone == d })
	if i < 0 {
		return nil
	}
	return z.devices[i]
}

// configuration finds one by its name; nil if there is none.
func (z *customer) configuration(name string) object {
	i := slices.IndexFunc(z.configurations, func(o object) bool { return o["name"] == name })
	if i < 0 {
		return nil
	}
	return z.configurations[i]
}

// standard is the name of the configuration that new devices get.
func (z *customer) standard() string {
	for _, o := range z.configurations {
		if flag(o, "isDefault") {
			return text(o, "name")
		}
	}
	return ""
}

// forCustomer looks up the customer of a call, and refuses queries it does not
// have.
func forCustomer(serve func(*Cloud, *customer, *call) (any, *refusal)) func(*Cloud, *call) (any, *refusal) {
	return func(c *Cloud, q *call) (any, *refusal) {
		if bad := zeroTouchQuery(q); bad != nil {
			return nil, bad
		}
		z := c.customers[q.ids[0]]
		if z == nil {
			return nil, denied("The caller does not have permission on the customer.", "")
		}
		return serve(c, z, q)
	}
}

func zeroTouchQuery(q *call) *refusal {
	for _, name := range sortedKeys(q.query) {
		if !slices.Contains([]string{"pageSize", "pageToken", "updateMask", "alt", "prettyPrint", "fields"}, name) {
			return invalid("Invalid JSON payload received. Unknown name %q: Cannot bind query parameter.", name)
		}
	}
	return nil
}

func (c *Cloud) listCustomers(q *call) (any, *refusal) {
	if bad := zeroTouchQuery(q); bad != nil {
		return nil, bad
	}
	var all []object
	for _, id := range sortedKeys(c.customers) {
		z := c.customers[id]
		all = append(all, object{"name": z.name(), "companyId": z.id, "companyName": z.company, "termsStatus": "TERMS_STATUS_ACCEPTED"})
	}
	items, next, bad := page(q, all, 100, 100)
	return listed("customers", items, next), bad
}

func (c *Cloud) listDPCs(z *customer, _ *call) (any, *refusal) {
	return listed("dpcs", []object{{"name": z.name() + "/dpcs/" + clouddpc, "dpcName": "Android Device Policy", "packageName": "com.google.android.apps.work.clouddpc"}}, ""), nil
}

func (k *claim) render(z *customer) object {
	h := k.phone.hardware
	identifier := object{"serialNumber": h.Serial, "manufacturer": h.Manufacturer, "model": h.Model, "deviceType": "DEVICE_TYPE_ANDROID"}
	if h.IMEI != "" {
		identifier["imei"] = h.IMEI
	}
	if h.MEID != "" {
		identifier["meid"] = h.MEID
	}
	out := object{"name": z.name() + "/devices/" + k.id, "deviceId": k.id, "deviceIdentifier": identifier,
		"claims": []any{object{"ownerCompanyId": z.id, "resellerId": "1", "sectionType": "SECTION_TYPE_ZERO_TOUCH"}}}
	if k.configuration != "" {
		out["configuration"] = k.configuration
	}
	return out
}

func (c *Cloud) listClaimed(z *customer, q *call) (any, *refusal) {
	claims, next, bad := page(q, z.devices, 5000, 10000)
	var items []object
	for _, k := range claims {
		items = append(items, k.render(z))
	}
	return listed("devices", items, next), bad
}

func (c *Cloud) getClaimed(z *customer, q *call) (any, *refusal) {
	for _, k := range z.devices {
		if k.id == q.ids[1] {
			return k.render(z), nil
		}
	}
	return nil, missing()
}

// claimed finds the device of a reference: by its id, IMEI, MEID, or serial
// with manufacturer, which alone makes a serial a key.
func (z *customer) claimed(reference object) (*claim, *refusal) {
	if bad := only(reference, "deviceId", "deviceIdentifier"); bad != nil {
		return nil, bad
	}
	identifier, _ := reference["deviceIdentifier"].(object)
	if bad := only(identifier, "imei", "imei2", "meid", "meid2", "serialNumber", "manufacturer", "model", "deviceType", "chromeOsAttestedDeviceId"); bad != nil {
		return nil, bad
	}
	id, serial := text(reference, "deviceId"), text(identifier, "serialNumber")
	if id == "" && text(identifier, "imei") == "" && text(identifier, "meid") == "" && (serial == "" || text(identifier, "manufacturer") == "") {
		return nil, invalid("The device needs an id, an IMEI, a MEID, or a serial number with its manufacturer.")
	}
	for _, k := range z.devices {
		h := k.phone.hardware
		if id == k.id || id == "" && (text(identifier, "imei") == "" || text(identifier, "imei") == h.IMEI) && (text(identifier, "meid") == "" || text(identifier, "meid") == h.MEID) &&
			(serial == "" || serial == h.Serial && text(identifier, "manufacturer") == h.Manufacturer) {
			return k, nil
		}
	}
	return nil, missing()
}

func (c *Cloud) applyConfiguration(z *customer, q *call) (any, *refusal) {
	if bad := only(q.body, "device", "configuration"); bad != nil {
		return nil, bad
	}
	reference, _ := q.body["device"].(object)
	k, bad := z.claimed(reference)
	switch {
	case bad != nil:
		return nil, bad
	case z.configuration(text(q.body, "configuration")) == nil:
		return nil, missing()
	}
	k.configuration = text(q.body, "configuration")
	return object{}, nil
}

func (c *Cloud) removeConfiguration(z *customer, q *call) (any, *refusal) {
	if bad := only(q.body, "device"); bad != nil {
		return nil, bad
	}
	reference, _ := q.body["device"].(object)
	k, bad := z.claimed(reference)
	if bad != nil {
		return nil, bad
	}
	k.configuration = ""
	return object{}, nil
}

func (c *Cloud) unclaim(z *customer, q *call) (any, *refusal) {
	if bad := only(q.body, "device"); bad != nil {
		return nil, bad
	}
	reference, _ := q.body["device"].(object)
	k, bad := z.claimed(reference)
	if bad != nil {
		return nil, bad
	}
	z.devices = slices.DeleteFunc(slices.Clone(z.devices), func(o *claim) bool { return o == k })
	return object{}, nil
}

var (
	configurationFields = []string{"name", "configurationId", "configurationName", "companyName", "contactEmail", "contactPhone", "dpcResourcePath", "isDefault", "dpcExtras", "customMessage", "forcedResetTime"}
	requiredFields      = []string{"configurationName", "companyName", "contactEmail", "contactPhone", "dpcResourcePath"}
	dpcPath             = regexp.MustCompile(`^customers/[^/]+/dpcs/` + clouddpc + `$`)
)

// checkConfiguration holds a configuration against its reference.
func (z *customer) checkConfiguration(o object) *refusal {
	if bad := only(o, configurationFields...); bad != nil {
		return bad
	}
	for _, name := range requiredFields {
		if text(o, name) == "" {
			return invalid("%s is missing.", name)
		}
	}
	if !dpcPath.MatchString(text(o, "dpcResourcePath")) {
		return invalid("dpcResourcePath %q is none of dpcs.list.", text(o, "dpcResourcePath"))
	}
	if extras := text(o, "dpcExtras"); extras != "" {
		if value, err := parse([]byte(extras)); err != nil {
			return invalid("dpcExtras is no JSON.")
		} else if _, ok := value.(object); !ok {
			return invalid("dpcExtras is no JSON object.")
		}
	}
	if reset := text(o, "forcedResetTime"); reset != "" {
		if d, ok := seconds(reset); !ok || d < 0 || d.Hours() > 6 {
			return invalid("forcedResetTime must be between 0 and 6 hours.")
		}
	}
	return nil
}

// onlyDefault lets one configuration be the default at most.
func (z *customer) onlyDefault(o object) {
	if !flag(o, "isDefault") {
		return
	}
	for _, other := range z.configurations {
		if other["name"] != o["name"] {
			other["isDefault"] = false
		}
	}
}

func (c *Cloud) createConfiguration(z *customer, q *call) (any, *refusal) {
	if bad := z.checkConfiguration(q.body); bad != nil {
		return nil, bad
	}
	z.made++
	o := clone(q.body)
	o["configurationId"] = strconv.Itoa(z.made)
	o["name"] = z.name() + "/configurations/" + strconv.Itoa(z.made)
	z.configurations = append(z.configurations, o)
	z.onlyDefault(o)
	return o, nil
}

func (c *Cloud) listConfigurations(z *customer, _ *call) (any, *refusal) {
	return listed("configurations", z.configurations, ""), nil
}

func (c *Cloud) getConfiguration(z *customer, q *call) (any, *refusal) {
	if o := z.configuration(z.name() + "/configurations/" + q.ids[1]); o != nil {
		return o, nil
	}
	return nil, missing()
}

func (c *Cloud) patchConfiguration(z *customer, q *call) (any, *refusal) {
	o := z.configuration(z.name() + "/configurations/" + q.ids[1])
	if o == nil {
		return nil, missing()
	}
	if q.query.Get("updateMask") == "" {
		return nil, invalid("updateMask is required.")
	}
	if bad := only(q.body, configurationFields...); bad != nil {
		return nil, bad
	}
	next := clone(o)
	for _, path := range strings.Split(q.query.Get("updateMask"), ",") {
		if !slices.Contains(configurationFields[2:], path) {
			return nil, invalid("Invalid field mask: %s cannot be written.", path)
		}
		assign(next, q.body, path)
	}
	if bad := z.checkConfiguration(next); bad != nil {
		return nil, bad
	}
	z.configurations[slices.IndexFunc(z.configurations, func(other object) bool { return other["name"] == o["name"] })] = next
	z.onlyDefault(next)
	return next, nil
}

func (c *Cloud) deleteConfiguration(z *customer, q *call) (any, *refusal) {
	name := z.name() + "/configurations/" + q.ids[1]
	switch {
	case z.configuration(name) == nil:
		return nil, missing()
	case slices.ContainsFunc(z.devices, func(k *claim) bool { return k.configuration == name }):
		return nil, precondition("The configuration is applied to devices.")
	}
	z.configurations = slices.DeleteFunc(slices.Clone(z.configurations), func(o object) bool { return o["name"] == name })
	return object{}, nil
}
