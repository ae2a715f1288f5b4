package console

// Observe lets a test see what each call of the API is decoded into.
func (c *Console) Observe(f func(method, path string, out any)) { c.decoded = f }

// Problem is the API's refusal.
type Problem = problem
