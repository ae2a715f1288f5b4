package browser

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/sim/iphone"
)

// purchase is a list as somebody else wrote it: header and separator of its
// own, Western European code page, and one word that nobody knows.
const purchase = "Device S/N;Employee;Mail;Belongs to;OS\n" +
	"STORY0ANNA01;Anna Gro\xdf;anna.gross@example.com;Corporate;iOS\n" +
	"STORY0BEN002;Ben M\xfcller;ben.mueller@example.com;Corprate;iOS\n" +
	"STORY0ZOE003;Zo\xe9 Kraus;zoe.kraus@example.com;Corporate;iOS\n"

// TestStory is what a newcomer does on the first day, with scripts and without.
func TestStory(t *testing.T) {
	for _, scripts := range []bool{true, false} {
		name := "with scripts"
		if !scripts {
			name = "without scripts"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			s := &story{house: h, person: browse(t, h.URL()), scripts: scripts}
			s.Scripts(scripts)
			s.setsUp()
			s.importsAnUnfamiliarList()
			s.bindsAPolicyToAGroup()
			s.enforcesWithTheForecast()
			s.repairsTheRefusal()
		})
	}
}

// story is a newcomer in an empty house.
type story struct {
	*house
	*person
	scripts bool
}

// comes waits for what the server works on. Without scripts people look again.
func (s *story) comes(text string) {
	s.person.t.Helper()
	for n := 0; !s.scripts && n < 100 && !s.Sees(text); n++ {
		s.Click("Look again")
	}
	s.See(text)
}

// setsUp makes the newcomer the first administrator, with the code that the
// server printed.
func (s *story) setsUp() {
	s.person.t.Helper()
	s.Open("/")
	s.Fill("Code", s.App.SetUpCode())
	s.Fill("Your name", "Ada")
	s.Fill("E-mail address", "ada@example.com")
	s.Fill("New password", password)
	s.Fill("The new password again", password)
	s.Screenshot("set-up")
	s.Click("Become the first administrator")
	s.See("Set up the second factor")
	s.Click("Later")
}

// importsAnUnfamiliarList maps the columns of the purchase list, corrects a cell
// in place, and sends requests to all but one.
func (s *story) importsAnUnfamiliarList() {
	t := s.person.t
	t.Helper()
	path := filepath.Join(t.TempDir(), "purchase.csv")
	if err := os.WriteFile(path, []byte(purchase), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Click("Import")
	s.Click("New import")
	s.Screenshot("import-file")
	s.Attach("CSV file", path)
	s.Click("Upload and plan")
	s.comes("code page")

	// The code page is not Unicode, which only a person can say.
	s.Fill("Code page", "windows-1252")
	s.Click("Continue to review")
	s.comes("no column for SerialNumber")
	s.See("Anna Groß", "Corprate")
	s.Fill("What Device S/N is", "Serial number")
	s.Fill("What Employee is", "Name of the user")
	s.Fill("What Mail is", "E-mail address")
	s.Fill("What Belongs to is", "Ownership")
	s.Fill("What OS is", "Platform")
	s.Screenshot("import-map")
	s.Click("Continue to review")

	// One word nobody knows.
	s.comes("Error 1")
	s.Click("Error 1")
	s.See("Corprate")
	s.Screenshot("import-review")
	s.Fill("Belongs to in line 3", "Corporate")
	s.Click("Correct")
	s.comes("New 3")
	s.Click("New 3")
	s.See("Ben Müller", "STORY0BEN002")
	s.Click("Continue to send")

	// Zoë is to wait.
	s.In("zoe.kraus@example.com").Check("Zoé Kraus", false)
	if !s.scripts {
		s.Click("Update the list")
	}
	s.Screenshot("import-send")
	s.Click("Pre-enroll 3 devices, send 2 requests")
	s.comes("applied")
	for _, address := range []string{"anna.gross@example.com", "ben.mueller@example.com"} {
		if _, err := s.post.Wait(s.house.ctx, address, 1); err != nil {
			t.Fatal(err)
		}
	}
	if sent := s.post.To("zoe.kraus@example.com"); len(sent) != 0 {
		t.Errorf("who was not chosen got %q", sent[0].Subject)
	}
}

// bindsAPolicyToAGroup makes a group by rule, whose members are counted while it
// is written, and a policy for it.
func (s *story) bindsAPolicyToAGroup() {
	s.person.t.Helper()
	s.Click("Groups & policies")
	s.Click("Groups")
	s.Click("New group with a rule")
	s.Fill("Name", "Company iPhones")
	s.Fill("Field", "ownership")
	s.Fill("One of these values", "corporate")
	s.Click("Show which devices match")
	s.See("3 of 3 devices match now.")
	s.Click("Make the group")
	s.See("The group Company iPhones was made.", "STORY0ANNA01")

	s.Click("Policies")
	s.Click("New policy")
	s.Fill("Name", "Company basics")
	s.Click("Make the policy")
	s.Fill("Search settings", "passcode")
	s.Click("Find")
	s.Click("Add Passcode")
	s.Fill("Shortest length", "8")
	s.Screenshot("policy-edit")
	s.Click("Save as a new version")
	s.See("Version 2 was saved.")
	s.Click("Company basics")
	s.Fill("Group", "Company iPhones")
	s.Click("Bind to the group")
	s.See("The policy is bound to Company iPhones.")
}

// enforcesWithTheForecast lets a known and an unknown phone arrive, looks at
// what enforcing would have done, and enforces.
func (s *story) enforcesWithTheForecast() {
	t := s.person.t
	t.Helper()
	s.enroll("STORY0ANNA01", s.link("anna.gross@example.com"))
	s.enroll("STRANGER0001", s.URL()+"/enroll")
	s.Click("Enrollment")
	s.Check("Enforce", true)
	s.Click("Look at the forecast")
	s.See("2 devices arrived; 1 would be admitted.", "STRANGER0001")
	s.Screenshot("restrictions-forecast")
	s.Click("Save these restrictions")
	s.See("The enrollment restrictions are saved.")
}

// repairsTheRefusal has a phone come whose row was mistyped: it is refused, the
// gate log says why, and its button puts it right.
func (s *story) repairsTheRefusal() {
	t := s.person.t
	t.Helper()
	ben := s.phone("STORY0BENO02") // a letter, where the list has a zero
	var refused *iphone.RefusedError
	if err := ben.OpenLink(s.house.ctx, s.URL()+"/enroll", iphone.Choice{}); !errors.As(err, &refused) {
		t.Fatalf("a phone with another serial: %v", err)
	}
	s.Click("Gate log")
	s.See("refused")
	s.Screenshot("gate-log")
	s.Click("STORY0BENO02")
	s.Screenshot("gate-decision")
	s.Click("STORY0BEN002 is STORY0BENO02")
	s.See("The row STORY0BEN002 has the serial of this device now.")
	if err := ben.OpenLink(s.house.ctx, s.URL()+"/enroll", iphone.Choice{}); err != nil {
		t.Fatalf("after the repair: %v", err)
	}
	// Ben's phone belongs to the group, and has its policy.
	wait, cancel := context.WithTimeout(s.house.ctx, patience)
	defer cancel()
	if err := ben.WaitFor(wait, func(p *iphone.Phone) bool { return len(p.InstalledProfiles()) > 1 }); err != nil {
		t.Fatalf("the policy does not arrive: %v", ben.InstalledProfiles())
	}
	s.Click("Overview")
	s.Screenshot("overview")
	s.Click("Devices")
	s.In("STORY0BENO02").See("enrolled")
	s.In("STORY0ZOE003").See("pre-enrolled")
	s.Screenshot("devices")
}

// link is where the message to somebody leads.
func (s *story) link(address string) string {
	s.person.t.Helper()
	m, err := s.post.Wait(s.house.ctx, address, 1)
	if err != nil {
		s.person.t.Fatal(err)
	}
	for _, l := range m.Links() {
		if strings.HasPrefix(l, s.URL()) {
			return l
		}
	}
	s.person.t.Fatalf("the message to %s leads nowhere: %v", address, m.Links())
	return ""
}
