package dns

import (
	"errors"
	"strings"
	"testing"

	miekg "github.com/miekg/dns"
)

// TestRecordData: what people write of each type, and how it is answered.
func TestRecordData(t *testing.T) {
	for _, x := range []struct {
		typ, data string
		priority  uint16
		want      string // in the presentation of zone files; "" for refused
	}{
		{"A", "192.0.2.1", 0, "192.0.2.1"},
		{"A", "2001:db8::1", 0, ""},
		{"A", "192.0.2.256", 0, ""},
		{"A", "::ffff:192.0.2.1", 0, ""},
		{"AAAA", "2001:DB8:0:0::1", 0, "2001:db8::1"},
		{"AAAA", "fe80::1%eth0", 0, ""},
		{"AAAA", "192.0.2.1", 0, ""},
		{"CNAME", "mail.example.net", 0, "mail.example.net."},
		{"CNAME", "mail", 0, "mail.example.org."},
		{"CNAME", "@", 0, "example.org."},
		{"CNAME", "a..b", 0, ""},
		{"CNAME", "mail.example.net evil", 0, ""},
		{"CNAME", "münchen.example", 0, ""},
		{"NS", "ns4", 0, "ns4.example.org."},
		{"NS", "NS6.Other.example.", 0, "ns6.other.example."},
		{"PTR", "www.domain2.com", 0, "www.domain2.com."},
		{"MX", "mail", 10, "10 mail.example.org."},
		{"MX", "192.168.1.1", 10, "10 192.168.1.1."}, // as existing clients send it
		{"MX", "20 mail.example.net.", 10, "20 mail.example.net."},
		{"MX", ".", 0, "0 ."},
		{"MX", "70000 mail", 0, ""},
		{"MX", "1 2 mail", 0, ""},
		{"SRV", "0 5060 sip.example.net", 40, "40 0 5060 sip.example.net."},
		{"SRV", "1 0 5060 sip", 40, "1 0 5060 sip.example.org."},
		{"SRV", "0 70000 sip", 40, ""},
		{"SRV", "sip", 40, ""},
		{"TXT", "This a text records, use for SPF....", 0, `"This a text records, use for SPF...."`},
		{"TXT", `back\slash and "quote"`, 0, `"back\\slash and \"quote\""`},
		{"TXT", `"one" "two \" three"`, 0, `"one" "two \" three"`},
		{"TXT", `"open`, 0, ""},
		{"TXT", `"a"b`, 0, ""},
		{"TXT", `"a" b`, 0, ""},
		{"TXT", "line\nbreak", 0, ""},
		{"TXT", "\xff", 0, ""},
		{"TXT", "", 0, ""},
		{"TXT", strings.Repeat("x", 300), 0, `"` + strings.Repeat("x", 255) + `" "` + strings.Repeat("x", 45) + `"`},
		{"TXT", strings.Repeat("x", maxText+1), 0, ""},
		{"SPF", "v=spf1 +mx a:colo.example.com/28 -all", 0, `"v=spf1 +mx a:colo.example.com/28 -all"`},
		{"SSHFP", "2 1 6C3C958af43d953f91f40e0d84157f4fe7b4a898", 0, "2 1 6C3C958AF43D953F91F40E0D84157F4FE7B4A898"},
		{"SSHFP", "2 1 xyz", 0, ""},
		{"SSHFP", "2 2 6c3c958af43d953f91f40e0d84157f4fe7b4a898", 0, ""},
		{"SSHFP", "2 1", 0, ""},
		{"NAPTR", `100 50 "s" "za" "" .`, 10, `100 50 "s" "za" "" .`},
		{"NAPTR", `50 "u" "E2U+sip" "!^.*$!sip:info@example.org!" .`, 7, `7 50 "u" "E2U+sip" "!^.*$!sip:info@example.org!" .`},
		{"NAPTR", `50 "u" "E2U+sip"`, 7, ""},
		{"LOC", "x", 0, ""},
	} {
		z := zone(t, "example.org")
		r, err := z.Add(Record{Name: "x", Type: x.typ, Data: x.data, Priority: x.priority}, noon)
		if x.want == "" {
			if !errors.Is(err, ErrInvalid) || len(z.Records) != 0 {
				t.Errorf("%s %.40q: %v, want it refused", x.typ, x.data, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s %.40q: %v", x.typ, x.data, err)
			continue
		}
		rr, err := r.rr(&z)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimPrefix(rr.String(), rr.Header().String()); got != x.want {
			t.Errorf("%s %.40q is answered as %s, want %s", x.typ, x.data, got, x.want)
		}
	}
}

// TestRecordNames: which names records have.
func TestRecordNames(t *testing.T) {
	for given, want := range map[string]string{
		"": "example.org.", "@": "example.org.", "example.org": "example.org.", "www": "www.example.org.", "WWW.Example.org": "www.example.org.",
		"www.example.org.": "www.example.org.", "_sip._tcp": "_sip._tcp.example.org.", "*": "*.example.org.", "*.a": "*.a.example.org.", "a.b": "a.b.example.org.",
		"www.example.net.": "", "a..b": "", "a.*": "", "a b": "", "-": "-.example.org.", strings.Repeat("a", 64): "", strings.Repeat("a.", 130): "", "ä": "", "xexample.org": "xexample.org.example.org.",
	} {
		z := zone(t, "example.org")
		r, err := z.Add(Record{Name: given, Type: "TXT", Data: "x"}, noon)
		if want == "" && err == nil || want != "" && (err != nil || r.Name != want) {
			t.Errorf("%.40q: %s, %v; want %q", given, r.Name, err, want)
		}
	}
}

// TestRecordConflicts: what cannot stand beside what.
func TestRecordConflicts(t *testing.T) {
	z := zone(t, "example.org", [3]string{"www", "A", "192.0.2.1"}, [3]string{"alias", "CNAME", "www"})
	for _, r := range []Record{
		{Name: "www", Type: "A", Data: "192.0.2.1"}, {Name: "www", Type: "CNAME", Data: "alias"}, {Name: "alias", Type: "TXT", Data: "x"}, {Name: "alias", Type: "CNAME", Data: "other"},
	} {
		if _, err := z.Add(r, noon); !errors.Is(err, ErrExists) {
			t.Errorf("%v: %v", r, err)
		}
	}
	if _, err := z.Add(Record{Type: "CNAME", Data: "www"}, noon); !errors.Is(err, ErrInvalid) {
		t.Errorf("an alias at the top: %v", err)
	}
	if _, err := z.AddMap("www", []string{"0 192.0.2.1"}, noon); !errors.Is(err, ErrExists) {
		t.Errorf("a map beside records: %v", err)
	}
	if _, err := z.AddMap("geo", []string{"0 192.0.2.1"}, noon); err != nil {
		t.Fatal(err)
	}
	if _, err := z.Add(Record{Name: "geo", Type: "TXT", Data: "x"}, noon); !errors.Is(err, ErrExists) {
		t.Errorf("a record beside a map: %v", err)
	}
	if _, err := z.Add(Record{Name: "www", Type: "A", Data: "192.0.2.2"}, noon); err != nil {
		t.Errorf("a second address: %v", err)
	}
}

// TestRecordChange: changes keep what a record is, move the serial, and refuse what is wrong without changing anything.
func TestRecordChange(t *testing.T) {
	z := zone(t, "example.org", [3]string{"www", "A", "192.0.2.1"}, [3]string{"www", "A", "192.0.2.2"})
	serial := z.Serial
	r, err := z.Change(1, noon, func(r *Record) { r.Data, r.TTL, r.Name, r.ID = "192.0.2.3", 5, "other", 9 })
	if err != nil || r.ID != 1 || r.Name != "www.example.org." || z.Records[0].Data != "192.0.2.3" || z.Serial <= serial {
		t.Fatalf("%+v, %v", r, err)
	}
	before := z.Clone()
	for _, edit := range []func(*Record){
		func(r *Record) { r.Data = "192.0.2.2" }, func(r *Record) { r.Data = "x" }, func(r *Record) { r.TTL = MaxTTL + 1 }, func(r *Record) { r.Description = strings.Repeat("x", 256) },
	} {
		if _, err := z.Change(1, noon, edit); err == nil {
			t.Error("a wrong change was taken")
		}
	}
	if z.Records[0] != before.Records[0] || z.Serial != before.Serial {
		t.Errorf("a refused change left %+v", z.Records[0])
	}
	if err := z.Remove(3, noon); !errors.Is(err, ErrMissing) {
		t.Error(err)
	}
	if err := z.Remove(2, noon); err != nil || len(z.Records) != 1 {
		t.Error(err)
	}
}

func TestFull(t *testing.T) {
	z := zone(t, "example.org")
	for range MaxRecords {
		z.Records = append(z.Records, Record{Name: "x.example.org.", Type: "A"})
	}
	if _, err := z.Add(Record{Name: "y", Type: "A", Data: "192.0.2.1"}, noon); !errors.Is(err, ErrFull) {
		t.Error(err)
	}
}

func TestNewZone(t *testing.T) {
	for _, name := range []string{"", ".", "a b", "*.example.org", strings.Repeat("a", 64) + ".org"} {
		if _, err := NewZone(name, "", 0, noon); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, email := range []string{"x", "a@b@c d", "Ann <ann@example.org>", "ann@ex ample.org", strings.Repeat("x", 64) + "@example.org"} {
		if _, err := NewZone("example.org", email, 0, noon); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", email, err)
		}
	}
	if box, err := mailbox("ann.b@Example.org"); err != nil || box != `ann\.b.example.org.` {
		t.Error(box, err)
	}
}

// FuzzRecordData: whatever is taken can be kept, read again as the same, packed and unpacked.
func FuzzRecordData(f *testing.F) {
	for _, data := range []string{"192.0.2.1", "2001:db8::1", "mail.example.net", "10 mail", `100 50 "s" "za" "" .`, "2 1 6c3c", `"a" "b\""`, `a\b"c`, "0 5060 sip", "."} {
		for n := range Types {
			f.Add(uint8(n), data, uint16(10))
		}
	}
	z := zone(f, "example.org")
	f.Fuzz(func(t *testing.T, typ uint8, data string, priority uint16) {
		r := Record{Name: "x", Type: Types[int(typ)%len(Types)], Data: data, Priority: priority}
		if r.settle(&z) != nil {
			return
		}
		again := r
		if err := again.settle(&z); err != nil || again != r {
			t.Fatalf("%+v is read again as %+v, %v", r, again, err)
		}
		rr, err := r.rr(&z)
		if err != nil {
			t.Fatal(err)
		}
		wire := make([]byte, miekg.MaxMsgSize)
		n, err := miekg.PackRR(rr, wire, 0, nil, false)
		if err != nil {
			t.Fatalf("%v cannot be packed: %v", rr, err)
		}
		back, _, err := miekg.UnpackRR(wire[:n], 0)
		if err != nil || back.String() != rr.String() {
			t.Fatalf("%v comes back as %v, %v", rr, back, err)
		}
	})
}

// FuzzMapLine: what is kept of a line is read again as the same.
func FuzzMapLine(f *testing.F) {
	f.Add("276 192.0.2.1")
	f.Add("10.0.0.0/8 www.example.org.")
	f.Add("0 default")
	f.Fuzz(func(t *testing.T, text string) {
		l, kept, err := readLine("example.org.", text)
		if err != nil {
			return
		}
		again, same, err := readLine("example.org.", kept)
		if err != nil || same != kept || again != l {
			t.Fatalf("%q is kept as %q and read again as %q, %v", text, kept, same, err)
		}
	})
}
