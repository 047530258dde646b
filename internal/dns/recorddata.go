package dns

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	miekg "github.com/miekg/dns"
)

// read reads a record's data by its type and writes it, with the priority, as it is kept: reading that again changes nothing.
func (r *Record) read(zone string) (rr miekg.RR, err error) {
	if len(r.Data) > maxText {
		return nil, invalid("data of %d bytes; %d are the most", len(r.Data), maxText)
	}
	if !utf8.ValidString(r.Data) || strings.ContainsFunc(r.Data, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return nil, invalid("the data holds control characters or broken UTF-8")
	}
	if r.Data = strings.TrimSpace(r.Data); r.Data == "" {
		return nil, invalid("the data is missing")
	}
	switch r.Type {
	case "A", "AAAA":
		return r.readAddress()
	case "TXT", "SPF":
		return r.readText()
	case "SSHFP":
		return r.readFingerprint()
	case "MX":
		return r.readMail(zone)
	case "SRV":
		return r.readService(zone)
	case "NAPTR":
		return r.readPointer(zone)
	}
	name, err := target(zone, r.Data)
	if err != nil {
		return nil, err
	}
	r.Data = name
	switch r.Type {
	case "CNAME":
		return &miekg.CNAME{Target: name}, nil
	case "NS":
		return &miekg.NS{Ns: name}, nil
	case "PTR":
		return &miekg.PTR{Ptr: name}, nil
	}
	return nil, invalid("no record type %.20q", r.Type)
}

func (r *Record) readAddress() (miekg.RR, error) {
	a, err := netip.ParseAddr(r.Data)
	if err != nil || a.Zone() != "" || a.Is4() != (r.Type == "A") || a.Is4In6() {
		return nil, invalid("%.60q is no address for a record of type %s", r.Data, r.Type)
	}
	r.Data = a.String()
	return address(a), nil
}

// address returns an address without a header.
func address(a netip.Addr) miekg.RR {
	if a.Is4() {
		return &miekg.A{A: a.AsSlice()}
	}
	return &miekg.AAAA{AAAA: a.AsSlice()}
}

// readText takes a text as it is, or strings in quotes.
func (r *Record) readText() (miekg.RR, error) {
	parts := []string{r.Data}
	if strings.HasPrefix(r.Data, `"`) {
		words, err := split(r.Data)
		if err != nil {
			return nil, err
		}
		parts = parts[:0]
		for i, w := range words {
			if !w.quoted {
				return nil, invalid("of a text with quotes every part stands in quotes")
			}
			parts = append(parts, w.text)
			words[i].text = quote(w.text)
		}
		r.Data = join(words)
	}
	var chunks []string
	for _, p := range parts {
		for chunk := range slices.Chunk([]byte(p), 255) {
			chunks = append(chunks, escape(string(chunk)))
		}
		if p == "" {
			chunks = append(chunks, "")
		}
	}
	if r.Type == "SPF" {
		return &miekg.SPF{Txt: chunks}, nil
	}
	return &miekg.TXT{Txt: chunks}, nil
}

func (r *Record) readFingerprint() (miekg.RR, error) {
	f := strings.Fields(r.Data)
	if len(f) != 3 {
		return nil, invalid("%.60q is no key fingerprint; write ALGORITHM HASH FINGERPRINT, such as 4 2 0a1b…", r.Data)
	}
	algorithm, err1 := strconv.ParseUint(f[0], 10, 8)
	hash, err2 := strconv.ParseUint(f[1], 10, 8)
	sum, err3 := hex.DecodeString(f[2])
	if err1 != nil || err2 != nil || err3 != nil || len(sum) == 0 || len(sum) > 255 {
		return nil, invalid("%.60q is no key fingerprint; write ALGORITHM HASH FINGERPRINT, such as 4 2 0a1b…", r.Data)
	}
	if want := map[uint64]int{1: 20, 2: 32}[hash]; want != 0 && len(sum) != want { // clients take the whole answer for broken
		return nil, invalid("the fingerprint has %d bytes; those of hash %d (SHA-%d) have %d", len(sum), hash, []int{1, 256}[hash-1], want)
	}
	rr := &miekg.SSHFP{Algorithm: uint8(algorithm), Type: uint8(hash), FingerPrint: hex.EncodeToString(sum)}
	r.Data = strconv.FormatUint(algorithm, 10) + " " + strconv.FormatUint(hash, 10) + " " + rr.FingerPrint
	return rr, nil
}

// leading takes the priority from data that begins with it: data of more fields than the type has besides.
func (r *Record) leading(fields []string, besides int) ([]string, error) {
	if len(fields) == besides+1 {
		n, err := strconv.ParseUint(fields[0], 10, 16)
		if err != nil {
			return nil, invalid("the priority %.20q is no number from 0 to 65535", fields[0])
		}
		r.Priority, fields = uint16(n), fields[1:]
	}
	if len(fields) != besides {
		return nil, invalid("%.60q has %d fields; a record of type %s has %d, and may have its priority before them", r.Data, len(fields), r.Type, besides)
	}
	return fields, nil
}

func (r *Record) readMail(zone string) (miekg.RR, error) {
	f, err := r.leading(strings.Fields(r.Data), 1)
	if err != nil {
		return nil, err
	}
	if r.Data, err = nowhereOr(zone, f[0]); err != nil {
		return nil, err
	}
	return &miekg.MX{Preference: r.Priority, Mx: r.Data}, nil
}

// nowhereOr is target, where "." says that there is none.
func nowhereOr(zone, text string) (string, error) {
	if text == "." {
		return text, nil
	}
	return target(zone, text)
}

func (r *Record) readService(zone string) (miekg.RR, error) {
	f, err := r.leading(strings.Fields(r.Data), 3)
	if err != nil {
		return nil, err
	}
	weight, err1 := strconv.ParseUint(f[0], 10, 16)
	port, err2 := strconv.ParseUint(f[1], 10, 16)
	if err1 != nil || err2 != nil {
		return nil, invalid("%.60q is no service; write WEIGHT PORT HOST", r.Data)
	}
	host, err := nowhereOr(zone, f[2])
	if err != nil {
		return nil, err
	}
	r.Data = strconv.FormatUint(weight, 10) + " " + strconv.FormatUint(port, 10) + " " + host
	return &miekg.SRV{Priority: r.Priority, Weight: uint16(weight), Port: uint16(port), Target: host}, nil
}

func (r *Record) readPointer(zone string) (miekg.RR, error) {
	words, err := split(r.Data)
	if err != nil {
		return nil, err
	}
	fields := make([]string, len(words))
	for i, w := range words {
		fields[i] = w.text
	}
	if fields, err = r.leading(fields, 5); err != nil {
		return nil, err
	}
	preference, err := strconv.ParseUint(fields[0], 10, 16)
	if err != nil {
		return nil, invalid("%.60q is no naming authority pointer; write PREFERENCE \"FLAGS\" \"SERVICES\" \"REGEXP\" REPLACEMENT", r.Data)
	}
	for _, f := range fields[1:4] {
		if len(f) > 255 {
			return nil, invalid("a field of %d bytes; 255 are the most", len(f))
		}
	}
	replacement, err := nowhereOr(zone, fields[4])
	if err != nil {
		return nil, err
	}
	r.Data = strings.Join([]string{strconv.FormatUint(preference, 10), quote(fields[1]), quote(fields[2]), quote(fields[3]), replacement}, " ")
	return &miekg.NAPTR{Order: r.Priority, Preference: uint16(preference), Flags: escape(fields[1]), Service: escape(fields[2]), Regexp: escape(fields[3]),
		Replacement: replacement}, nil
}

// A fieldText is one field of data, what stood in quotes without them.
type fieldText struct {
	text   string
	quoted bool
}

// split cuts data at spaces that stand outside quotes. Within quotes a backslash takes the next character's meaning away.
func split(data string) (out []fieldText, err error) {
	for rest := strings.TrimLeft(data, " "); rest != ""; rest = strings.TrimLeft(rest, " ") {
		if rest[0] != '"' {
			word, after, _ := strings.Cut(rest, " ")
			out, rest = append(out, fieldText{text: word}), after
			continue
		}
		var b []byte
		i := 1
		for ; i < len(rest) && rest[i] != '"'; i++ {
			if rest[i] == '\\' {
				if i++; i == len(rest) {
					break
				}
			}
			b = append(b, rest[i])
		}
		if i >= len(rest) {
			return nil, invalid("a quote is not closed")
		}
		if rest = rest[i+1:]; rest != "" && rest[0] != ' ' {
			return nil, invalid("a space is missing after a quote")
		}
		out = append(out, fieldText{string(b), true})
	}
	return out, nil
}

func join(words []fieldText) string {
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = w.text
	}
	return strings.Join(texts, " ")
}

// quote writes a field so that split reads it.
func quote(text string) string {
	return `"` + escape(text) + `"`
}

var escaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// escape writes a text as the library keeps it: a backslash before backslashes and quotes.
func escape(text string) string { return escaper.Replace(text) }
