package mail

import (
	"strings"
	"testing"

	"rollcall/enroll"
)

func TestLanguagesAndKinds(t *testing.T) {
	c := composer{organization: "Example", language: "de", link: link}
	for name, test := range map[string]struct {
		language string
		kind     enroll.MessageKind
		platform enroll.Platform
		subject  string
		says     []string
	}{
		"default":          {"", enroll.MessageInvitation, enroll.PlatformApple, "Gerät bei Example anmelden", []string{"Guten Tag Anna anna", "Apple-Gerät"}},
		"German reminder":  {"de-AT", enroll.MessageReminder, enroll.PlatformAndroid, "Erinnerung: Gerät bei Example anmelden", []string{"Erinnerung", "Android-Gerät"}},
		"English":          {"en", enroll.MessageInvitation, enroll.PlatformAndroid, "Enroll your device with Example", []string{"Hello Anna anna", "Android device"}},
		"English reminder": {"en", enroll.MessageReminder, enroll.PlatformIOS, "Reminder: Enroll your device with Example", []string{"this is a reminder", "iPhone or iPad"}},
		"no texts":         {"tlh", enroll.MessageInvitation, enroll.PlatformIOS, "Gerät bei Example anmelden", []string{"Guten Tag", "iPhone oder iPad"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := letter("anna")
			l.Language, l.Kind, l.Platform = test.language, test.kind, test.platform
			got, err := c.compose(l)
			if err != nil {
				t.Fatal(err)
			}
			if got.Subject != test.subject {
				t.Errorf("subject %q", got.Subject)
			}
			for _, want := range append(test.says, link("secret-of-anna")) {
				if !strings.Contains(got.Text, want) || !strings.Contains(got.HTML, want) {
					t.Errorf("no %q in\n%s\n%s", want, got.Text, got.HTML)
				}
			}
			l.Via = enroll.ViaSMS
			short, err := c.compose(l)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(short.Text, "Example: ") || !strings.HasSuffix(short.Text, link("secret-of-anna")) || strings.Contains(short.Text, "\n") || short.HTML != "" {
				t.Errorf("SMS %q", short.Text)
			}
			if strings.Contains(got.Subject+short.Text, "Anna") {
				t.Error("the user's name is where bystanders read it")
			}
		})
	}
}

// TestNothingGetsOut puts markup and line breaks into all that is written.
func TestNothingGetsOut(t *testing.T) {
	const evil = "\"><script>alert(1)</script><img src=x>\r\n\r\nBcc: all@example.com\u2028https://evil.example"
	for _, language := range enroll.Languages {
		l := letter("anna")
		l.Name, l.SentBy, l.Serial, l.Language = evil, evil, evil, language
		c := composer{organization: evil, language: language, link: link}
		got, err := c.compose(l)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(got.HTML, "<script") || strings.Contains(got.HTML, "<img src=x") {
			t.Errorf("%s: markup gets into the HTML:\n%s", language, got.HTML)
		}
		if strings.ContainsAny(got.Subject, "\r\n\u2028") {
			t.Errorf("%s: a line break gets into the subject %q", language, got.Subject)
		}
		for line := range strings.Lines(got.Text) {
			if strings.HasPrefix(line, "Bcc:") || strings.HasPrefix(line, "https://evil") {
				t.Errorf("%s: a value begins a line:\n%s", language, got.Text)
			}
		}
	}
}
