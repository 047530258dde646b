package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/dns"
	"github.com/troupe-dev/troupe/internal/service"
)

// Completion follows from what commands say of themselves: the words of their usage ("SERVICE/ROLE") and the
// names of their flags' values say what a place on the command line takes.

// completionTime bounds what a shell waits for.
const completionTime = 2 * time.Second

// maxCompletions bounds how many services or instances are read to complete a word.
const maxCompletions = 1000

// A completer says what the word that is being typed may become. args are the words before it.
type completer func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective)

// A listing asks a server for what a word may become.
type listing func(ctx context.Context, c *client.Client, typed string) ([]cobra.Completion, error)

// complete gives every command below cmd its completion.
func complete(t *terminal, cmd *cobra.Command) {
	if words := positions(cmd); len(words) > 0 && cmd.ValidArgsFunction == nil {
		cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) >= len(words) {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return t.completerOf(words[len(args)], cmd)(cmd, args, typed)
		}
	}
	for _, flags := range [...]*pflag.FlagSet{cmd.Flags(), cmd.PersistentFlags()} {
		flags.VisitAll(func(f *pflag.Flag) {
			if of := t.flagCompleter(f); of != nil {
				_ = cmd.RegisterFlagCompletionFunc(f.Name, cobra.CompletionFunc(of)) // fails for a flag that has one already
			}
		})
	}
	for _, c := range cmd.Commands() {
		complete(t, c)
	}
}

// positions returns the words of a command's usage that stand for arguments.
func positions(cmd *cobra.Command) []string {
	var words []string
	for _, word := range strings.Fields(cmd.Use)[1:] {
		if strings.HasPrefix(word, "[") && strings.HasSuffix(word, "]") {
			word = word[1 : len(word)-1]
		}
		words = append(words, word)
	}
	return words
}

// completerOf returns the completer for a word of a command's usage.
func (t *terminal) completerOf(word string, cmd *cobra.Command) completer {
	switch word {
	case "SERVICE/ROLE":
		return t.places(2, 2)
	case "SERVICE/ROLE/N":
		return t.places(2, 3) // the number may be left out where a role has one instance
	case "SERVICE[/ROLE]":
		return t.places(1, 2)
	case "SERVICE[/ROLE[/N]]":
		return t.places(1, 3)
	case "ACTION":
		return words(service.ActionNames()...)
	case "TYPE":
		return words(dns.Types...)
	case "FILE", "NAME|FILE", "MANIFEST":
		return files(extensions(cmd)...)
	}
	if list, ok := objects[word]; ok {
		return t.listed(list)
	}
	return nothing
}

// flagCompleter returns the completer for the value of a flag; nil for a flag without a value.
func (t *terminal) flagCompleter(f *pflag.Flag) completer {
	if c, ok := f.Value.(choice); ok {
		return words(c.choices...)
	}
	value, _ := pflag.UnquoteUsage(f)
	switch {
	case f.Value.Type() == "bool":
		return nil
	case value == "file":
		return files(keyExtensions(f.Name)...)
	case value == "folder":
		return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		}
	case value == "state":
		return words(states()...)
	case value == "grants":
		return last(words("host"))
	case value == "scopes":
		return last(words("read", "operate", "admin", "metrics", "push"))
	case value == "group":
		return t.listed(objects["GROUP"])
	case value == "groups":
		return last(t.listed(objects["GROUP"]))
	case value == "user" && f.Name != "etcd-user":
		return t.listed(objects["USER"])
	case value == "method":
		return t.listed(objects["METHOD"])
	case value == "role":
		return t.rolesOfFirst
	}
	return nothing
}

// keyExtensions are the endings of the file that a flag names.
func keyExtensions(flag string) []string {
	switch {
	case flag == "config", flag == "file":
		return []string{"yaml", "yml"}
	case flag == "master-key", flag == "ready-file", flag == "dns-countries", strings.HasSuffix(flag, "-file"):
		return nil
	case flag == "oneflow-conf":
		return []string{"conf"}
	}
	return []string{"pem", "crt", "cer", "key"}
}

// extensions are the endings of the file that a command takes; none for any file.
func extensions(cmd *cobra.Command) []string {
	switch cmd.Name() {
	case "backup", "restore", "push":
		return nil
	case "check":
		return []string{"yaml", "yml"}
	}
	return []string{"yaml", "yml", "json"}
}

func nothing(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveNoFileComp
}

func words(list ...string) completer {
	return func(_ *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return matching(list, typed), cobra.ShellCompDirectiveNoFileComp
	}
}

func matching(list []string, typed string) []cobra.Completion {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return !strings.HasPrefix(s, typed) })
}

func files(extensions ...string) completer {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(extensions) == 0 {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return extensions, cobra.ShellCompDirectiveFilterFileExt
	}
}

// last completes the last element of a list with commas.
func last(of completer) completer {
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		before, typed := typed[:strings.LastIndexByte(typed, ',')+1], typed[strings.LastIndexByte(typed, ',')+1:]
		found, directive := of(cmd, args, typed)
		for i := range found {
			found[i] = before + found[i]
		}
		return found, directive | cobra.ShellCompDirectiveNoSpace
	}
}

// states are the states of services.
func states() (list []string) {
	for at := service.State(0); at.String() != "UNKNOWN"; at++ {
		list = append(list, at.String())
	}
	return list
}

// listed completes with what a server answers.
func (t *terminal) listed(list listing) completer {
	return func(cmd *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return t.answer(cmd.Context(), typed, list)
	}
}

// answer asks a server, briefly, and keeps what begins as it was typed.
func (t *terminal) answer(ctx context.Context, typed string, list listing) ([]cobra.Completion, cobra.ShellCompDirective) {
	c, err := t.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	found, err := list(ctx, c, typed)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return matching(found, typed), cobra.ShellCompDirectiveNoFileComp
}
