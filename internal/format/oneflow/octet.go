package oneflow

import (
	"encoding/json"
	"strconv"
	"strings"
)

// ParseOctet reads the octet of a chmod: three octal digits for owner, group and others, as text or
// as a number, which may lack leading zeros. The result has the nine bits of a Unix mode.
func ParseOctet(v any) (uint16, error) {
	var text string
	switch v := v.(type) {
	case string:
		text = strings.TrimSpace(v)
	case json.Number:
		text = string(v)
	}
	if len(text) < 1 || len(text) > 3 || strings.Trim(text, "01234567") != "" {
		return 0, &Error{Kind: Invalid, Path: "octet", Message: "octet must be three digits from 0 to 7, such as 640"}
	}
	bits, err := strconv.ParseUint(text, 8, 9)
	if err != nil {
		return 0, &Error{Kind: Invalid, Path: "octet", Message: err.Error()}
	}
	return uint16(bits), nil
}
