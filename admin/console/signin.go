package console

import "net/http"

// signInAgain answers a form whose session is over with the sign-in, which takes
// what was typed along.
func (c *Console) signInAgain(q *request) error {
	field, err := q.keep()
	if err != nil {
		return err
	}
	return q.page("sign-in", view{Title: text("signin.title"), Status: http.StatusUnauthorized, Bare: true, Data: field})
}
