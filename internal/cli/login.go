package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/troupe-dev/troupe/client"
)

// loginTime is how long a stored login is good.
const loginTime = 30 * 24 * time.Hour

type loginOptions struct{ user, passwordFile string }

func newLoginCommand(t *terminal) *cobra.Command {
	var o loginOptions
	cmd := &cobra.Command{
		Use:   "login [URL]",
		Short: "log in to a server and remember it",
		Long: "Log in to a server and remember it for the commands that follow. What is stored, readable for you alone, is a\n" +
			"token that is good for 30 days, not the password. The password is asked for, or read from standard input.",
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runLogin(cmd.Context(), t, &o, args) },
	}
	cmd.Flags().StringVar(&o.user, "user", "", "`name` to log in with (TROUPE_USER)")
	cmd.Flags().StringVar(&o.passwordFile, "password-file", "", "`file` with the password")
	return cmd
}

func runLogin(ctx context.Context, t *terminal, o *loginOptions, args []string) error {
	if len(args) == 1 {
		t.server.url = args[0]
	}
	old, err := t.stored()
	if err != nil {
		old = login{} // a new one takes its place
	}
	url, ca := t.target(old)
	user, password := o.user, t.env("TROUPE_PASSWORD")
	if user == "" {
		user = t.env("TROUPE_USER")
	}
	lines := bufio.NewReader(t.in)
	if user == "" {
		if user, err = t.ask(lines, "User", "oneadmin"); err != nil {
			return err
		}
	}
	if o.passwordFile != "" {
		password, err = readSecret(o.passwordFile)
	} else if password == "" {
		password, err = t.askSecret(lines, "Password of "+user)
	}
	if err != nil {
		return err
	}
	c, err := t.client(url, ca, client.Options{User: user, Password: password, Agent: "cli/" + version()})
	if err != nil {
		return err
	}
	defer c.Close()
	me, err := c.Me(ctx)
	if err != nil {
		return fmt.Errorf("log in at %s: %w", url, err)
	}
	host, _ := os.Hostname()
	scopes := []string{"read", "operate"}
	if me.Admin {
		scopes = append(scopes, "admin")
	}
	token, err := c.Tokens().Add(ctx, client.AddToken{Name: "login on " + host, Scopes: scopes, Expires: client.Duration(loginTime)})
	if err != nil {
		return fmt.Errorf("log in at %s: make a token: %w", url, err)
	}
	if ca != "" {
		if ca, err = filepath.Abs(ca); err != nil {
			return fmt.Errorf("--cacert: %w", err)
		}
	}
	if err := t.store(login{URL: url, User: me.User.Name, Token: token.Text, CA: ca}); err != nil {
		return err
	}
	fmt.Fprintf(t.out, "logged in at %s as %s\n", url, me.User.Name)
	return nil
}

// ask asks for a line.
func (t *terminal) ask(lines *bufio.Reader, what, fallback string) (string, error) {
	if t.interactive() {
		fmt.Fprintf(t.err, "%s [%s]: ", what, fallback)
	}
	line, err := lines.ReadString('\n')
	if line = strings.TrimSpace(line); line != "" {
		return line, nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read %s: %w", strings.ToLower(what), err)
	}
	return fallback, nil
}

// askSecret asks for a line that is not shown.
func (t *terminal) askSecret(lines *bufio.Reader, what string) (string, error) {
	var line string
	if t.interactive() {
		fmt.Fprint(t.err, what+": ")
		text, err := term.ReadPassword(int(os.Stdin.Fd()))
		fmt.Fprintln(t.err)
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		line = string(text)
	} else {
		line, _ = lines.ReadString('\n') // its end shows below
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", withCode(exitUsage, errors.New("no password was given: type it, pipe it in, or give --password-file"))
	}
	return line, nil
}

// interactive reports whether a person types the input.
func (t *terminal) interactive() bool { return t.in == os.Stdin && term.IsTerminal(int(os.Stdin.Fd())) }
