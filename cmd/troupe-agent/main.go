// Command troupe-agent is `troupe agent` as a small program, for machines that need nothing else of Troupe.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/troupe-dev/troupe/internal/agent/command"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	var url, ca string
	cmd := command.New(&command.Terminal{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Getenv, URL: &url, CACert: &ca})
	cmd.Use, cmd.SilenceUsage, cmd.SilenceErrors = "troupe-agent", true, true
	cmd.PersistentFlags().StringVar(&url, "url", "", "`URL` of the server (TROUPE_URL)")
	cmd.PersistentFlags().StringVar(&ca, "cacert", "", "PEM `file` of the authority of the server's certificate (TROUPE_CACERT)")
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "troupe-agent: "+err.Error())
	if coded := (*command.Error)(nil); errors.As(err, &coded) {
		os.Exit(coded.Code)
	}
	os.Exit(1)
}
