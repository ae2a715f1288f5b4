// Package console is the web console: pages for administrators, made on the
// server and served by the same binary.
//
//	browser --- GET, POST ---> page handler --- in-process call ---> admin API
//	        <-- HTML, 303 ----              <-- JSON, problem -----
//
// It is a client of the admin API like any other. A page calls the API's handler
// with the signed-in administrator as the caller, and decodes what it answers; it
// has no way to a store. So the console can do nothing that the API cannot, roles,
// audit log and validation are the API's, and every page can show the calls it was
// made of ("Show as API"). What is done on sign-in is the one exception: sessions
// and passwords are admin.Administrators.
//
// Everything works without scripts but for live updates; one vendored copy of
// htmx does those. The Content-Security-Policy allows what is served from here and
// nothing inline. Every change is a POST with the session's CSRF token, from this
// origin, and carries a value that makes sending it twice do it once.
//
// English texts are in texts/*.json and nowhere else. It does not decide anything
// about devices, and serves nothing to phones.
package console
