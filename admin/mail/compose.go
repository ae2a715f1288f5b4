package mail

import (
	"bytes"
	"embed"
	"fmt"
	html "html/template"
	"strings"
	text "text/template"
	"unicode"

	"rsc.io/qr"

	"rollcall/enroll"
)

//go:embed templates
var sources embed.FS

// templates are the texts of one language.
type templates struct {
	text *text.Template // defines subject, mail, sms and test
	html *html.Template // defines mail
}

var languages = load()

func load() map[string]templates {
	all := map[string]templates{}
	for _, language := range enroll.Languages {
		name := "templates/" + language
		functions := text.FuncMap{"line": line}
		all[language] = templates{
			text: text.Must(text.New("").Funcs(functions).ParseFS(sources, name+".txt")),
			html: html.Must(html.New("").ParseFS(sources, name+".html", "templates/frame.html")),
		}
	}
	return all
}

// line keeps a value on one line, so that it cannot pass for text of ours.
func line(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
}

// content is what a letter says.
type content struct {
	Subject string
	Text    string
	HTML    string // e-mail only
	QR      []byte // PNG of the link; e-mail only
}

// filling is what the templates show.
type filling struct {
	enroll.Letter
	Organization string
	Link         string
	Kind         string // of device: ios, apple, android
	Reminder     bool
	Until        string
	QRWidth      int
}

// qrScale is pixels for each square of the code.
const qrScale = 6

// composer writes letters.
type composer struct {
	organization string
	language     string // where the letter has none
	link         func(secret string) string
}

func (c composer) compose(l enroll.Letter) (content, error) {
	f := filling{Letter: l, Organization: c.organization, Link: c.link(l.Secret), Kind: string(l.Platform),
		Reminder: l.Kind == enroll.MessageReminder, Until: l.ExpiresAt.UTC().Format("2006-01-02 15:04 UTC")}
	t := c.templates(l.Language)
	var out content
	var err error
	if l.Via == enroll.ViaSMS {
		out.Text, err = plain(t, "sms", f)
		return out, err
	}
	code, err := qr.Encode(f.Link, qr.M)
	if err != nil {
		return out, fmt.Errorf("mail: code of a link: %w", err)
	}
	code.Scale = qrScale
	f.QRWidth = (code.Size + 8) * qrScale // with the quiet zone that PNG adds
	out.QR = code.PNG()
	if out.Subject, err = plain(t, "subject", f); err != nil {
		return out, err
	}
	if out.Text, err = plain(t, "mail", f); err != nil {
		return out, err
	}
	var b bytes.Buffer
	if err := t.html.ExecuteTemplate(&b, "frame", f); err != nil {
		return out, fmt.Errorf("mail: %w", err)
	}
	out.HTML = b.String()
	return out, nil
}

// templates are those of a language ("de", "de-AT"), or the server's.
func (c composer) templates(language string) templates {
	primary, _, _ := strings.Cut(strings.ToLower(language), "-")
	if t, ok := languages[primary]; ok {
		return t
	}
	return languages[c.language]
}

// test writes the message that shows whether sending works.
func (c composer) test() (content, error) {
	f := filling{Organization: c.organization}
	t := c.templates("")
	var out content
	var err error
	if out.Subject, err = plain(t, "testsubject", f); err != nil {
		return out, err
	}
	out.Text, err = plain(t, "test", f)
	return out, err
}

func plain(t templates, name string, f filling) (string, error) {
	var b bytes.Buffer
	if err := t.text.ExecuteTemplate(&b, name, f); err != nil {
		return "", fmt.Errorf("mail: %w", err)
	}
	return strings.TrimSpace(b.String()), nil
}
