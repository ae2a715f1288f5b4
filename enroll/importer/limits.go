package importer

// Limits bound what a file may cost.
type Limits struct {
	Bytes   int64 // of the file
	Rows    int   // without the header and empty lines
	Columns int
	Cell    int // bytes of one cell
}

// DefaultLimits are the limits of the product.
var DefaultLimits = Limits{Bytes: 64 << 20, Rows: 500_000, Columns: 200, Cell: 64 << 10}
