package occopus

import (
	"io"
	"slices"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func TestLogLine(t *testing.T) {
	now := time.Date(2024, 5, 6, 7, 8, 9, 12_345_678, time.Local)
	for format, want := range map[string]string{
		consoleFormat: "** 2024-05-06 07:08:09,012\thello %d",
		"%(levelname)-8s %(name)s %(processName)s: %(message)s": "WARNING occo MainProcess: hello %d",
		"%(unheard)s%(message)s":                                "hello %d",
		"plain":                                                 "plain",
	} {
		if got := logLine(format, now, levelWarning, "hello %d"); got != want {
			t.Errorf("%q: %q, not %q", format, got, want)
		}
	}
}

func TestUnabbreviate(t *testing.T) {
	flags := pflag.NewFlagSet("x", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.String("auth_data_path", "", "")
	flags.String("infra_id", "", "")
	flags.String("interval", "", "")
	for _, x := range []struct {
		args, want []string
		wrong      string
	}{
		{args: []string{"--auth", "f", "-i", "x"}, want: []string{"--auth_data_path", "f", "-i", "x"}},
		{args: []string{"--inf=a=b"}, want: []string{"--infra_id=a=b"}},
		{args: []string{"--infra_id", "x"}, want: []string{"--infra_id", "x"}},
		{args: []string{"--", "--auth"}, want: []string{"--", "--auth"}},
		{args: []string{"--he"}, want: []string{"--help"}},
		{args: []string{"--zzz"}, want: []string{"--zzz"}},
		{args: []string{"--in", "x"}, wrong: "ambiguous option: --in could match --infra_id, --interval"},
	} {
		got, err := unabbreviate(flags, x.args)
		if x.wrong != "" {
			if err == nil || err.Error() != x.wrong {
				t.Errorf("%q: %v", x.args, err)
			}
			continue
		}
		if err != nil || !slices.Equal(got, x.want) {
			t.Errorf("%q: %q, %v", x.args, got, err)
		}
	}
}
