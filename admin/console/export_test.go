package console

// Observe lets a test see what each call of the API is decoded into.
func (c *Console) Observe(f func(method, path string, out any)) { c.decoded = f }

// Problem is the API's refusal.
type Problem = problem

// Routes are the method and the path below Prefix of every page and form.
func Routes() (out [][2]string) {
	c := &Console{}
	for _, r := range append(c.routes(), c.doors()...) {
		out = append(out, [2]string{r.method, r.path})
	}
	return out
}
