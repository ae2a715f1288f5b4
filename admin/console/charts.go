package console

// Charts are drawings in SVG that are made here: numbers become places and sizes,
// the sheet gives the colours. Each stands beside a table with the same numbers,
// which is what is read out and reached by keyboard.

// bar is a horizontal one, as wide as its share of 100.
type bar struct{ Width int }

func barOf(n, most int) bar {
	if n <= 0 || most <= 0 {
		return bar{}
	}
	return bar{max(1, 100*n/most)}
}

// The measures of the chart of attempts.
const (
	chartWidth  = 720
	chartHeight = 140
)

// attemptsChart has a column for each day.
type attemptsChart struct {
	Width, Height int
	Most          int // attempts of the day that has most
	Total         int
	Columns       []column
}

// column is a day: one piece for each outcome, from the bottom up.
type column struct {
	attemptsDay
	X, Width int
	Pieces   []piece
}

type piece struct {
	Outcome   string
	Count     int
	Y, Height int
}

// Total is how many devices arrived on the day.
func (a attemptsDay) Total() int { return a.Admitted + a.Held + a.Refused + a.Errors }

func chartOf(days []attemptsDay) attemptsChart {
	c := attemptsChart{Width: chartWidth, Height: chartHeight}
	for _, d := range days {
		c.Most, c.Total = max(c.Most, d.Total()), c.Total+d.Total()
	}
	for i, d := range days {
		left, right := i*chartWidth/len(days), (i+1)*chartWidth/len(days)
		col := column{attemptsDay: d, X: left, Width: max(1, right-left-2)}
		below := 0
		for _, p := range []piece{{Outcome: "allow", Count: d.Admitted}, {Outcome: "hold", Count: d.Held}, {Outcome: "deny", Count: d.Refused}, {Outcome: "error", Count: d.Errors}} {
			if p.Count == 0 {
				continue
			}
			bottom := chartHeight - below*chartHeight/c.Most
			below += p.Count
			p.Y = chartHeight - below*chartHeight/c.Most
			p.Height = max(1, bottom-p.Y)
			col.Pieces = append(col.Pieces, p)
		}
		c.Columns = append(c.Columns, col)
	}
	return c
}
