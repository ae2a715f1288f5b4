package mail

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"regexp"
	"slices"
	"strings"
)

// Message is a mail as its reader sees it.
type Message struct {
	From    string   // of the envelope
	To      []string // of the envelope
	Header  mail.Header
	ID      string // Message-ID, without brackets
	Subject string // decoded
	Text    string // the text/plain part
	HTML    string // the text/html part
	Inline  map[string]Image
}

// Image is a picture within a message, found by its Content-ID.
type Image struct {
	ContentType string
	Data        []byte
}

var (
	hrefs = regexp.MustCompile(`href="([^"]+)"`)
	bare  = regexp.MustCompile(`https?://[^\s<>"]+`)
)

// Links are the addresses a reader can follow, each once: those of the HTML
// part, then those that stand in the text.
func (m Message) Links() []string {
	var links []string
	add := func(l string) {
		if !slices.Contains(links, l) {
			links = append(links, l)
		}
	}
	for _, found := range hrefs.FindAllStringSubmatch(m.HTML, -1) {
		add(html.UnescapeString(found[1]))
	}
	for _, found := range bare.FindAllString(m.Text, -1) {
		add(found)
	}
	return links
}

func parse(raw []byte) (Message, error) {
	if at := bytes.IndexByte(raw, 0); at >= 0 {
		return Message{}, errors.New("a NUL byte")
	}
	in, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return Message{}, err
	}
	m := Message{Header: in.Header, Inline: map[string]Image{}}
	for _, required := range []string{"From", "To", "Date", "Subject", "Message-Id", "Mime-Version"} {
		if n := len(in.Header[required]); n != 1 {
			return m, fmt.Errorf("%d %s headers", n, required)
		}
	}
	if _, err := in.Header.Date(); err != nil {
		return m, err
	}
	for _, addresses := range []string{"From", "To"} {
		if _, err := in.Header.AddressList(addresses); err != nil {
			return m, fmt.Errorf("%s: %w", addresses, err)
		}
	}
	m.ID = strings.Trim(in.Header.Get("Message-Id"), "<>")
	if m.Subject, err = new(mime.WordDecoder).DecodeHeader(in.Header.Get("Subject")); err != nil {
		return m, fmt.Errorf("Subject: %w", err)
	}
	return m, m.part(in.Header.Get, in.Body, 0)
}

const maxNesting = 5

// part reads one MIME part and those within it.
func (m *Message) part(header func(string) string, body io.Reader, depth int) error {
	if depth > maxNesting {
		return errors.New("parts nested too deep")
	}
	kind, params, err := mime.ParseMediaType(header("Content-Type"))
	if err != nil {
		return err
	}
	if strings.HasPrefix(kind, "multipart/") {
		return m.parts(multipart.NewReader(body, params["boundary"]), depth)
	}
	data, err := decode(header("Content-Transfer-Encoding"), body)
	if err != nil {
		return err
	}
	id := strings.Trim(header("Content-Id"), "<>")
	switch {
	case kind == "text/plain" && m.Text == "":
		m.Text = strings.ReplaceAll(string(data), "\r\n", "\n")
	case kind == "text/html" && m.HTML == "":
		m.HTML = string(data)
	case strings.HasPrefix(kind, "image/") && id != "":
		m.Inline[id] = Image{kind, data}
	default:
		return fmt.Errorf("a part of type %s that has no place", kind)
	}
	return nil
}

func (m *Message) parts(r *multipart.Reader, depth int) error {
	for {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := m.part(p.Header.Get, p, depth+1); err != nil {
			return err
		}
	}
}

func decode(encoding string, body io.Reader) ([]byte, error) {
	switch strings.ToLower(encoding) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "", "7bit", "8bit":
	default:
		return nil, fmt.Errorf("the transfer encoding %q", encoding)
	}
	return io.ReadAll(body)
}
