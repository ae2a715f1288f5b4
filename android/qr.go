package android

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"strings"

	"rsc.io/qr"

	"rollcall/enroll"
)

// QR is a QR code.
type QR struct {
	code *qr.Code
	size int // modules of a side
}

const (
	quiet     = 4    // modules around the code (ISO/IEC 18004)
	pixels    = 6    // of a module in PNG: a code of 89 modules has 582
	maxPixels = 2400 // of a side
)

// NewQR makes a code of error correction level M, or L where that cannot hold
// the text. enroll.KindInvalid where no code can.
func NewQR(text string) (QR, error) {
	for _, level := range []qr.Level{qr.M, qr.L} {
		if code, err := qr.Encode(text, level); err == nil {
			return QR{code: code, size: code.Size}, nil
		}
	}
	return QR{}, enroll.Errorf(enroll.KindInvalid, "payload_too_large", "%d bytes are too many for a QR code", len(text)).
		WithHint("A code holds about 2,900 bytes. Leave out certificates and what else a policy can bring later.")
}

// Modules gives the modules of a side, without the margin.
func (q QR) Modules() int { return q.size }

// PNG gives the code as a picture in black and white, with its margin.
func (q QR) PNG() ([]byte, error) {
	scale := min(pixels, maxPixels/(q.size+2*quiet))
	side := (q.size + 2*quiet) * scale
	img := image.NewPaletted(image.Rect(0, 0, side, side), color.Palette{color.White, color.Black})
	for y := range side {
		for x := range side {
			if q.code.Black(x/scale-quiet, y/scale-quiet) {
				img.SetColorIndex(x, y, 1)
			}
		}
	}
	var b bytes.Buffer
	err := png.Encode(&b, img)
	return b.Bytes(), err
}

// SVG gives the code as a drawing whose side is a unit for each module.
func (q QR) SVG() []byte {
	var path strings.Builder
	for y := range q.size {
		for x := 0; x < q.size; x++ {
			start := x
			for x < q.size && q.code.Black(x, y) {
				x++
			}
			if n := x - start; n > 0 {
				fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", start+quiet, y+quiet, n, n)
			}
		}
	}
	side := q.size + 2*quiet
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges" role="img" aria-label="QR code"><rect width="%d" height="%d" fill="#fff"/><path d="%s" fill="#000"/></svg>`,
		side, side, side, side, path.String())
}
