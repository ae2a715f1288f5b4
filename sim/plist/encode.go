package plist

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// Dict is a property list dictionary.
type Dict = map[string]any

const header = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
`

// Marshal writes v as an XML property list, keys sorted. A value of a type
// that property lists do not have is a mistake of the caller and panics.
func Marshal(v any) []byte {
	var b bytes.Buffer
	b.WriteString(header)
	encode(&b, v)
	b.WriteString("</plist>\n")
	return b.Bytes()
}

func encode(b *bytes.Buffer, v any) {
	switch v := v.(type) {
	case string:
		b.WriteString("<string>")
		escape(b, v)
		b.WriteString("</string>\n")
	case bool:
		if v {
			b.WriteString("<true/>\n")
		} else {
			b.WriteString("<false/>\n")
		}
	case int:
		b.WriteString("<integer>" + strconv.Itoa(v) + "</integer>\n")
	case int64:
		b.WriteString("<integer>" + strconv.FormatInt(v, 10) + "</integer>\n")
	case float64:
		b.WriteString("<real>" + strconv.FormatFloat(v, 'g', -1, 64) + "</real>\n")
	case []byte:
		b.WriteString("<data>" + base64.StdEncoding.EncodeToString(v) + "</data>\n")
	case time.Time:
		b.WriteString("<date>" + v.UTC().Format("2006-01-02T15:04:05Z") + "</date>\n")
	case []string:
		b.WriteString("<array>\n")
		for _, e := range v {
			encode(b, e)
		}
		b.WriteString("</array>\n")
	case []any:
		b.WriteString("<array>\n")
		for _, e := range v {
			encode(b, e)
		}
		b.WriteString("</array>\n")
	case map[string]any:
		b.WriteString("<dict>\n")
		for _, k := range slices.Sorted(maps.Keys(v)) {
			b.WriteString("<key>")
			escape(b, k)
			b.WriteString("</key>\n")
			encode(b, v[k])
		}
		b.WriteString("</dict>\n")
	default:
		panic(fmt.Sprintf("plist: no property list type for %T", v))
	}
}

func escape(b *bytes.Buffer, s string) {
	// The only error EscapeText knows is one of the writer.
	_ = xml.EscapeText(b, []byte(s))
}
