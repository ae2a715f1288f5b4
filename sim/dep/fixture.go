package dep

import "fmt"

// products are what a fixture is made of, in this order over and over.
var products = []Device{
	{Family: "iPhone", Model: "iPhone 17", Description: "IPHONE 17 256GB BLACK", Color: "BLACK"},
	{Family: "iPad", Model: "iPad (A16)", Description: "IPAD WI-FI 128GB SILVER", Color: "SILVER"},
	{Family: "iPhone", Model: "iPhone 16e", Description: "IPHONE 16E 128GB WHITE", Color: "WHITE"},
	{Family: "iPad", Model: "iPad Pro 11-inch", Description: "IPAD PRO 11 CELLULAR 256GB BLACK", Color: "SPACE BLACK"},
	{Family: "iPhone", Model: "iPhone 17 Pro", Description: "IPHONE 17 PRO 512GB BLUE", Color: "DEEP BLUE"},
	{Family: "Mac", Model: "MacBook Air 13-inch", Description: "MBA 13.6 MIDNIGHT/10C CPU", Color: "MIDNIGHT"},
	{Family: "iPhone", Model: "iPhone 17", Description: "IPHONE 17 256GB LAVENDER", Color: "LAVENDER"},
	{Family: "AppleTV", Model: "Apple TV 4K", Description: "APPLE TV 4K 128GB", Color: "BLACK"},
}

// Fixture makes n devices, the same ones for the same prefix: iPhones, iPads,
// Macs and Apple TVs. Serials are the prefix, three capital letters or digits,
// and seven digits and letters.
func Fixture(prefix string, n int) []Device {
	out := make([]Device, n)
	for i := range out {
		d := products[i%len(products)]
		d.Serial = prefix + serial(uint64(i))
		d.WiFi = mac(0x10, i)
		switch d.Family {
		case "iPhone":
			d.IMEI = []string{imei(2 * i), imei(2*i + 1)}
			d.MEID = []string{d.IMEI[0][:14]}
			d.EID = fmt.Sprintf("890490320050088826%014d", i)
			d.Bluetooth = mac(0x20, i)
		case "Mac", "AppleTV":
			d.Ethernet = mac(0x30, i)
		}
		out[i] = d
	}
	return out
}

// serial spreads i over seven characters of Apple's alphabet, which has
// neither I nor O, so that neighbours do not look alike.
func serial(i uint64) string {
	const (
		alphabet = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"
		space    = 34 * 34 * 34 * 34 * 34 * 34 * 34
		step     = 20_333_150_021 // has no factor in common with space
	)
	n := (i*step + 1_234_567) % space
	var b [7]byte
	for k := range b {
		b[k] = alphabet[n%34]
		n /= 34
	}
	return string(b[:])
}

// imei has the check digit of 3GPP TS 23.003, annex B (Luhn).
func imei(i int) string {
	s := fmt.Sprintf("35%012d", i)
	sum := 0
	for k, ch := range s {
		d := int(ch - '0')
		if k%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return fmt.Sprintf("%s%d", s, (10-sum%10)%10)
}

func mac(kind, i int) string {
	return fmt.Sprintf("02:%02X:%02X:%02X:%02X:%02X", kind, i>>24&0xff, i>>16&0xff, i>>8&0xff, i&0xff)
}
