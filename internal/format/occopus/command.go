package occopus

import (
	"errors"
	"strings"
)

// splitCommand parts a command line into words as a shell would: at blanks, but for those in quotes and in
// templates, whose values stay one word.
func splitCommand(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	in, quote := false, byte(0)
	for i := 0; i < len(line); i++ {
		c := line[i]
		if end := templateEnd(line[i:]); end > 0 {
			word.WriteString(line[i : i+end])
			in = true
			i += end - 1
			continue
		}
		switch {
		case quote == 0 && strings.IndexByte(" \t\r\n", c) >= 0:
			if in {
				words = append(words, word.String())
				word.Reset()
			}
			in = false
		case quote == 0 && (c == '\'' || c == '"'):
			quote, in = c, true
		case c == quote:
			quote = 0
		case c == '\\' && quote != '\'' && i+1 < len(line) && (quote == 0 || strings.IndexByte("\"\\$`", line[i+1]) >= 0):
			i++
			word.WriteByte(line[i])
			in = true
		default:
			word.WriteByte(c)
			in = true
		}
	}
	if quote != 0 {
		return nil, errors.New("a quotation mark is not closed")
	}
	if in {
		words = append(words, word.String())
	}
	return words, nil
}

// templateEnd returns the length of the template expression that a text begins with, or 0.
func templateEnd(s string) int {
	for open, shut := range map[string]string{"{{": "}}", "{%": "%}", "{#": "#}"} {
		if strings.HasPrefix(s, open) {
			if end := strings.Index(s, shut); end > 0 {
				return end + len(shut)
			}
		}
	}
	return 0
}
