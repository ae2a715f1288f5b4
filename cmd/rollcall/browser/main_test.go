package browser

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"rollcall/sim/applepki"
	"rollcall/sim/fleet"
)

// One Apple, one pool of keys, one authority for servers and one Chromium for
// all tests of this process. Each person has a browser context of their own, as
// in a private window.
var (
	apple *applepki.PKI
	keys  *fleet.KeyPool
	own   *authority
	pages *chromium
)

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv(chromiumVariable) == skip {
		fmt.Println("Browser half did not run: " + chromiumVariable + "=" + skip)
		return
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if apple, err = applepki.New(); err == nil {
		keys, err = fleet.NewKeyPool(4, 2048)
	}
	if err == nil {
		own, err = newAuthority()
	}
	if err == nil {
		defer own.remove()
		pages, err = startChromium(own)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer pages.stop()
	if os.Getenv(axeVariable) == skip {
		fmt.Println("Accessibility was not checked: " + axeVariable + "=" + skip)
	}
	return m.Run()
}
