package policy

import (
	"math"
	"strconv"
	"strings"
)

// Average returns the arithmetic mean of the values that the machines of a role report for one
// name, rounded half away from zero to two decimals. Each is read by [LeadingNumber]. Machines
// without the name must not be in values; ok is false if there is none at all.
func Average(values []string) (mean float64, ok bool) {
	if len(values) == 0 {
		return 0, false
	}
	for _, v := range values {
		mean += LeadingNumber(v)
	}
	mean /= float64(len(values))
	if rounded := math.Round(mean*100) / 100; !math.IsInf(rounded, 0) {
		mean = rounded
	}
	return mean, true
}

// LeadingNumber reads a text as the number that it begins with: "12abc" is 12, "abc" is 0.
func LeadingNumber(text string) float64 {
	text = strings.TrimSpace(text)
	end, digits := 0, false
	accept := func(set string) {
		if end < len(text) && strings.IndexByte(set, text[end]) >= 0 {
			end++
		}
	}
	run := func() bool {
		start := end
		for end < len(text) && isDigit(text[end]) {
			end++
		}
		return end > start
	}
	accept("+-")
	digits = run()
	if digits && end+1 < len(text) && text[end] == '.' && isDigit(text[end+1]) {
		end++
		run()
	}
	if !digits {
		return 0
	}
	if mantissa := end; end < len(text) && (text[end] == 'e' || text[end] == 'E') {
		end++
		accept("+-")
		if !run() {
			end = mantissa
		}
	}
	v, _ := strconv.ParseFloat(text[:end], 64)
	return v
}

// FormatFloat prints a value as expression_evaluated shows it: always with a decimal point, in
// scientific notation only from 1e16 on and below 1e-4.
func FormatFloat(v float64) string {
	if math.IsInf(v, 0) || math.IsNaN(v) {
		return strings.TrimPrefix(strings.Replace(strconv.FormatFloat(v, 'g', -1, 64), "Inf", "Infinity", 1), "+")
	}
	if a := math.Abs(v); a != 0 && (a >= 1e16 || a < 1e-4) {
		s := strconv.FormatFloat(v, 'e', -1, 64)
		mantissa, exponent, _ := strings.Cut(s, "e")
		if !strings.Contains(mantissa, ".") {
			mantissa += ".0"
		}
		return mantissa + "e" + exponent
	}
	s := strconv.FormatFloat(v, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}
