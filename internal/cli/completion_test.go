package cli

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// free are the words of usages that only the user knows.
var free = []string{"N|+N|-N|+P%|-P%", "NAME", "VALUE", "PROMQL", "URL", "--", "COMMAND", "ARG...", "DATA...", "KEY=TARGET..."}

// Every command that takes arguments and every flag that takes a value is completed, or is known to take what only
// the user knows.
func TestEverythingIsCompleted(t *testing.T) {
	none := &terminal{in: strings.NewReader(""), out: io.Discard, err: io.Discard, env: func(string) string { return "" }}
	values := []string{"file", "folder", "state", "grants", "scopes", "group", "groups", "role", "user", "method"}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Name() == "occopus" {
			return // its programs have options in their own way
		}
		for _, word := range positions(cmd) {
			_, listed := objects[word]
			known := listed || word == "FILE" || word == "NAME|FILE" || word == "MANIFEST" || word == "ACTION" || word == "TYPE" || strings.HasPrefix(word, "SERVICE")
			if !known && !slices.Contains(free, word) {
				t.Errorf("%s: nothing completes %s", cmd.CommandPath(), word)
			}
		}
		if len(positions(cmd)) > 0 && cmd.ValidArgsFunction == nil {
			t.Errorf("%s completes nothing", cmd.CommandPath())
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			value, _ := pflag.UnquoteUsage(f)
			_, chosen := f.Value.(choice)
			if _, completed := cmd.GetFlagCompletionFunc(f.Name); !completed && (chosen || slices.Contains(values, value)) {
				t.Errorf("%s --%s %s completes nothing", cmd.CommandPath(), f.Name, value)
			}
		})
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(newRootCommand(none))
}
