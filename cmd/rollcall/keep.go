package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// waitForInterrupt waits for Ctrl-C or the end of ctx.
func waitForInterrupt(ctx context.Context) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	<-ctx.Done()
	return nil
}
