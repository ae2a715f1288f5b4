package plist

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

const maxDepth = 64

// Unmarshal reads one XML property list.
func Unmarshal(data []byte) (any, error) {
	d := xml.NewDecoder(bytes.NewReader(data))
	start, err := nextElement(d)
	if err != nil {
		return nil, fmt.Errorf("plist: %w", err)
	}
	if start == nil || start.Name.Local != "plist" {
		return nil, errors.New("plist: the document does not start with <plist>")
	}
	first, err := nextElement(d)
	if err != nil {
		return nil, fmt.Errorf("plist: %w", err)
	}
	if first == nil {
		return nil, errors.New("plist: empty document")
	}
	v, err := decode(d, first, 0)
	if err != nil {
		return nil, fmt.Errorf("plist: %w", err)
	}
	if extra, err := nextElement(d); err != nil || extra != nil {
		return nil, errors.New("plist: more than one value in <plist>")
	}
	if _, err := nextElement(d); !errors.Is(err, io.EOF) {
		return nil, errors.New("plist: something follows </plist>")
	}
	return v, nil
}

// UnmarshalDict reads a property list whose top is a dictionary.
func UnmarshalDict(data []byte) (Dict, error) {
	v, err := Unmarshal(data)
	if err != nil {
		return nil, err
	}
	dict, ok := v.(Dict)
	if !ok {
		return nil, fmt.Errorf("plist: the top is a %T, not a dictionary", v)
	}
	return dict, nil
}

// nextElement returns the next start tag, or nil at an end tag. Text other
// than white space is an error.
func nextElement(d *xml.Decoder) (*xml.StartElement, error) {
	for {
		tok, err := d.Token()
		if err != nil {
			return nil, err
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			return &tok, nil
		case xml.EndElement:
			return nil, nil
		case xml.CharData:
			if len(bytes.TrimSpace(tok)) != 0 {
				return nil, fmt.Errorf("text %q between elements", tok)
			}
		}
	}
}

func decode(d *xml.Decoder, start *xml.StartElement, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("nested too deeply")
	}
	switch name := start.Name.Local; name {
	case "dict":
		return decodeDict(d, depth)
	case "array":
		list := []any{}
		for {
			el, err := nextElement(d)
			if err != nil {
				return nil, err
			}
			if el == nil {
				return list, nil
			}
			v, err := decode(d, el, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
	case "string", "integer", "real", "data", "date", "true", "false":
		s, err := text(d)
		if err != nil {
			return nil, err
		}
		return scalar(name, s)
	default:
		return nil, fmt.Errorf("unknown element <%s>", name)
	}
}

func decodeDict(d *xml.Decoder, depth int) (any, error) {
	dict := Dict{}
	for {
		el, err := nextElement(d)
		if err != nil {
			return nil, err
		}
		if el == nil {
			return dict, nil
		}
		if el.Name.Local != "key" {
			return nil, fmt.Errorf("<%s> where a <key> belongs", el.Name.Local)
		}
		key, err := text(d)
		if err != nil {
			return nil, err
		}
		if _, twice := dict[key]; twice {
			return nil, fmt.Errorf("key %q twice in a dictionary", key)
		}
		el, err = nextElement(d)
		if err != nil {
			return nil, err
		}
		if el == nil {
			return nil, fmt.Errorf("key %q has no value", key)
		}
		if dict[key], err = decode(d, el, depth+1); err != nil {
			return nil, err
		}
	}
}

// text reads the character data up to the end tag.
func text(d *xml.Decoder) (string, error) {
	var b strings.Builder
	for {
		tok, err := d.Token()
		if err != nil {
			return "", err
		}
		switch tok := tok.(type) {
		case xml.CharData:
			b.Write(tok)
		case xml.EndElement:
			return b.String(), nil
		case xml.StartElement:
			return "", fmt.Errorf("<%s> inside a simple value", tok.Name.Local)
		}
	}
}

func scalar(name, s string) (any, error) {
	switch name {
	case "string":
		return s, nil
	case "integer":
		return strconv.ParseInt(strings.TrimSpace(s), 0, 64)
	case "real":
		return strconv.ParseFloat(strings.TrimSpace(s), 64)
	case "date":
		return time.Parse("2006-01-02T15:04:05Z", strings.TrimSpace(s))
	case "data":
		return base64.StdEncoding.DecodeString(strings.Join(strings.Fields(s), ""))
	default:
		if strings.TrimSpace(s) != "" {
			return nil, fmt.Errorf("<%s> with content", name)
		}
		return name == "true", nil
	}
}
