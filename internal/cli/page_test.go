package cli

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var writePage = flag.Bool("write-page", false, "write docs/cli.md anew")

// docs/cli.md is what the commands say of themselves.
func TestPage(t *testing.T) {
	const page = "../../docs/cli.md"
	want := commandPage()
	if *writePage {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(got), want); diff != "" {
		t.Errorf("docs/cli.md is not what the commands say; write it anew with go test ./internal/cli -run TestPage -write-page\n%s", diff)
	}
}

// commandPage returns the reference of the command line as Markdown.
func commandPage() string {
	t := &terminal{in: strings.NewReader(""), out: io.Discard, err: io.Discard, env: func(string) string { return "" }}
	root := newRootCommand(t)
	var b strings.Builder
	b.WriteString("# The command line\n\n" +
		"Made from what the commands say of themselves (`troupe COMMAND --help`).\n\n" +
		"A service is named by its number, by its name, or as PROJECT/NAME; a role as SERVICE/ROLE; an instance as SERVICE/ROLE/N.\n" +
		"`troupe completion bash|zsh|fish|powershell` prints completion for a shell.\n\n" +
		"## Flags of every command\n\n")
	flagTable(&b, root.PersistentFlags())
	b.WriteString("\n## Exit codes\n\n```\n" + exitCodesHelp + "\n```\n")
	for _, g := range root.Groups() {
		fmt.Fprintf(&b, "\n## %s\n", strings.TrimSuffix(g.Title, ":"))
		for _, c := range root.Commands() {
			if c.GroupID == g.ID && !c.Hidden && c.Name() != "exit-codes" && c.Name() != "help" && c.Name() != "completion" {
				describe(&b, c)
			}
		}
	}
	return b.String()
}

func describe(b *strings.Builder, c *cobra.Command) {
	if c.Hidden {
		return
	}
	fmt.Fprintf(b, "\n### %s\n\n", c.CommandPath())
	if c.Runnable() && !c.HasSubCommands() || c.Flags().HasFlags() {
		fmt.Fprintf(b, "`%s`\n\n", strings.TrimSuffix(c.UseLine(), " [flags]"))
	}
	text := c.Long
	if text == "" {
		text = strings.ToUpper(c.Short[:1]) + c.Short[1:] + "."
	}
	b.WriteString(text + "\n")
	if c.Example != "" {
		fmt.Fprintf(b, "\n```\n%s\n```\n", c.Example)
	}
	if c.LocalNonPersistentFlags().HasAvailableFlags() {
		b.WriteString("\n")
		flagTable(b, c.LocalNonPersistentFlags())
	}
	for _, s := range c.Commands() {
		describe(b, s)
	}
}

// flagTable writes the flags that are shown in help.
func flagTable(b *strings.Builder, flags *pflag.FlagSet) {
	b.WriteString("| flag | meaning | default |\n|---|---|---|\n")
	cell := strings.NewReplacer("|", `\|`, "\n", " ")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if value != "" {
			name += " " + value
		}
		standard := f.DefValue
		switch {
		case f.Name == "data-dir" && standard != "": // depends on who asks
			standard = "/var/lib/troupe for root, else $XDG_DATA_HOME/troupe"
		case standard == "false", standard == "[]", standard == "0", standard == "0s":
			standard = ""
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", strings.ReplaceAll(name, "|", `\|`), cell.Replace(usage), cell.Replace(standard))
	})
}
