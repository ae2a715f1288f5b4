// Package browser tests the console as people use it: in Debian's Chromium,
// headless, against the real server, with simulated phones, mail and Apple
// around it (package stage). It holds tests only.
//
//	test -> person -> Chromium -- TLS --> server <-- phones, mail, APNs
//	         |            |
//	         |            +-- watched: requests that leave the origin, errors on the
//	         |                console, violated Content-Security-Policy, failed resources
//	         +-- acts as a person does: Click("Save"), Fill("Name", "Berlin"), See("Saved")
//
// A person finds elements by what is written on them, acts by mouse and
// keyboard events, and waits for what should come; an element that is covered,
// disabled or has no label cannot be used. The first thing that goes wrong ends
// the test, with a picture of the page among the test's artifacts
// (go test -artifacts).
//
// Chromium is /usr/bin/chromium or what ROLLCALL_TEST_CHROMIUM names; "skip"
// leaves the package out. Accessibility is checked by axe-core, which
// `npm ci` in testdata installs; ROLLCALL_TEST_AXE=skip leaves that out.
// scripts/browser-check sees to both. `make screens` keeps pictures of the story
// in docs/screens.
package browser
