package openstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/cloudinit"
)

// clean takes the settings of whoever runs the tests out of the environment.
func clean(t *testing.T) {
	for name := range environment() {
		t.Setenv(name, "")
	}
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
}

func TestAccess(t *testing.T) {
	clean(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	openrc := file("openrc", "export OS_AUTH_URL=https://k:5000\nexport OS_USERNAME=ann\nexport OS_PASSWORD='s e'\nexport OS_PROJECT_NAME=web\nexport OS_USER_DOMAIN_NAME=people\nexport OS_REGION_NAME=One\nexport OS_INTERFACE=internalURL\n")
	clouds := file("clouds.yaml", "clouds:\n  farm:\n    region_name: Two\n    auth: {auth_url: 'https://c/identity/v3', username: bob, project_id: 12, user_domain_id: default}\n")
	file("secure.yaml", "clouds: {farm: {auth: {password: hidden}}}\n")
	broken := file("broken.yaml", "clouds:\n  farm: [verysecret]\n")
	asks := file("asks", "export OS_AUTH_URL=https://k\nexport OS_USERNAME=ann\nread -sr OS_PASSWORD_INPUT\nexport OS_PASSWORD=$OS_PASSWORD_INPUT\n")
	scope := func(s gophercloud.AuthScope) *gophercloud.AuthScope { return &s }
	for name, c := range map[string]struct {
		values map[string]any
		want   gophercloud.AuthOptions
		at     gophercloud.EndpointOpts
		says   string
	}{
		"password": {values: map[string]any{"endpoint": "http://k:5000/", "username": "ann", "password": "p", "project": "web"},
			want: gophercloud.AuthOptions{IdentityEndpoint: "http://k:5000/v3/", Username: "ann", Password: "p", DomainName: "Default", Scope: scope(gophercloud.AuthScope{ProjectName: "web", DomainName: "Default"})}},
		"ids": {values: map[string]any{"endpoint": "http://k/identity/v3", "user_id": "7", "password": "p", "project_id": "9", "region": "R", "interface": "admin"},
			want: gophercloud.AuthOptions{IdentityEndpoint: "http://k/identity/v3/", UserID: "7", Password: "p", Scope: scope(gophercloud.AuthScope{ProjectID: "9"})}, at: gophercloud.EndpointOpts{Region: "R", Availability: gophercloud.AvailabilityAdmin}},
		"application credential": {values: map[string]any{"endpoint": "http://k/v3", "application_credential_id": "a", "application_credential_secret": "s", "project": "ignored"},
			want: gophercloud.AuthOptions{IdentityEndpoint: "http://k/v3/", ApplicationCredentialID: "a", ApplicationCredentialSecret: "s"}},
		"its name": {values: map[string]any{"endpoint": "http://k/v3", "application_credential_name": "a", "application_credential_secret": "s", "username": "ann", "user_domain": strings.Repeat("a1", 16)},
			want: gophercloud.AuthOptions{IdentityEndpoint: "http://k/v3/", ApplicationCredentialName: "a", ApplicationCredentialSecret: "s", Username: "ann", DomainID: strings.Repeat("a1", 16)}},
		"openrc": {values: map[string]any{"openrc": openrc},
			want: gophercloud.AuthOptions{IdentityEndpoint: "https://k:5000/v3/", Username: "ann", Password: "s e", DomainName: "people", Scope: scope(gophercloud.AuthScope{ProjectName: "web", DomainName: "people"})}, at: gophercloud.EndpointOpts{Region: "One", Availability: gophercloud.AvailabilityInternal}},
		"openrc for another project": {values: map[string]any{"openrc": openrc, "project": "shop", "project_domain": "default", "region": "Three", "interface": "public"},
			want: gophercloud.AuthOptions{IdentityEndpoint: "https://k:5000/v3/", Username: "ann", Password: "s e", DomainName: "people", Scope: scope(gophercloud.AuthScope{ProjectName: "shop", DomainID: "default"})}, at: gophercloud.EndpointOpts{Region: "Three"}},
		"clouds.yaml": {values: map[string]any{"cloud": "farm", "clouds_file": clouds},
			want: gophercloud.AuthOptions{IdentityEndpoint: "https://c/identity/v3/", Username: "bob", Password: "hidden", DomainID: "default", Scope: scope(gophercloud.AuthScope{ProjectID: "12"})}, at: gophercloud.EndpointOpts{Region: "Two"}},

		"nothing":            {says: "OS_AUTH_URL"},
		"no URL":             {values: map[string]any{"endpoint": "k:5000", "username": "ann"}, says: `option "endpoint"`},
		"a URL with a user":  {values: map[string]any{"endpoint": "http://ann:verysecret@k", "username": "ann"}, says: `option "endpoint"`},
		"no user":            {values: map[string]any{"endpoint": "http://k"}, says: `option "username"`},
		"no password":        {values: map[string]any{"endpoint": "http://k", "username": "ann", "project": "web"}, says: `option "password"`},
		"no project":         {values: map[string]any{"endpoint": "http://k", "username": "ann", "password": "verysecret"}, says: `option "project"`},
		"no secret":          {values: map[string]any{"endpoint": "http://k", "application_credential_id": "a"}, says: `option "application_credential_secret"`},
		"no such cloud":      {values: map[string]any{"cloud": "frm", "clouds_file": clouds}, says: `"frm"`},
		"no YAML":            {values: map[string]any{"cloud": "farm", "clouds_file": broken}, says: "no YAML of the right form"},
		"no such file":       {values: map[string]any{"cloud": "farm", "clouds_file": clouds + "x"}, says: "no such file"},
		"no openrc":          {values: map[string]any{"openrc": openrc + "x"}, says: "no such file"},
		"two sources":        {values: map[string]any{"openrc": openrc, "cloud": "farm"}, says: "beside"},
		"a file that asks":   {values: map[string]any{"openrc": asks}, says: "asks a person"},
		"no authority":       {values: map[string]any{"openrc": openrc, "tls_ca": openrc}, says: "no certificate"},
		"half a certificate": {values: map[string]any{"openrc": openrc, "tls_cert": openrc}, says: `option "tls_cert"`},
	} {
		t.Run(name, func(t *testing.T) {
			values, err := Kind().CheckAccount(c.values)
			if err != nil {
				t.Fatal(err)
			}
			a, err := accessOf(values)
			if c.says != "" {
				if !errors.Is(err, driver.ErrInvalid) || !strings.Contains(fmt.Sprint(err), c.says) || strings.Contains(fmt.Sprint(err), "verysecret") {
					t.Errorf("%v, want %q", err, c.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			c.want.AllowReauth = true
			if c.at.Availability == "" {
				c.at.Availability = gophercloud.AvailabilityPublic
			}
			if diff := cmp.Diff(c.want, a.auth, cmp.AllowUnexported(gophercloud.AuthOptions{})); diff != "" {
				t.Error(diff)
			}
			if a.at.Region != c.at.Region || a.at.Availability != c.at.Availability {
				t.Errorf("%+v, want %+v", a.at, c.at)
			}
		})
	}
}

func TestReaches(t *testing.T) {
	account := map[string]any{"endpoint": "http://k:5000", "username": "ann", "password": "p", "project": "web", "region": "One"}
	for _, c := range []struct {
		options map[string]any
		says    string
	}{
		{nil, ""},
		{map[string]any{"endpoint": "http://k:5000/v3/", "project": "web", "region": "One", "user_domain": "default"}, ""},
		{map[string]any{"project": strings.Repeat("a1", 16)}, ""}, // an id, which only the cloud knows
		{map[string]any{"endpoint": "http://l:5000"}, "endpoint"},
		{map[string]any{"project": "shop"}, "project"},
		{map[string]any{"region": "Two"}, "region"},
		{map[string]any{"user_domain": "people"}, "user_domain"},
	} {
		if err := reaches(account, c.options); (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: %v, want %q", c.options, err, c.says)
		}
	}
}

func TestClasses(t *testing.T) {
	answer := func(status int, body string) error {
		return gophercloud.ErrUnexpectedResponseCode{Actual: status, Body: []byte(body), ResponseHeader: http.Header{"Retry-After": {"7"}}}
	}
	for _, c := range []struct {
		err   error
		class error
		says  string
	}{
		{answer(400, `{"badRequest": {"code": 400, "message": "Invalid flavorRef provided."}}`), driver.ErrInvalid, "Invalid flavorRef provided. (400 Bad Request)"},
		{answer(401, `{"error": {"message": "The request you have made requires authentication."}}`), driver.ErrDenied, "requires authentication"},
		{answer(403, `{"forbidden": {"message": "Policy doesn't allow it."}}`), driver.ErrDenied, "Policy"},
		{answer(403, `{"forbidden": {"message": "Quota exceeded for cores: Requested 1, but already used 20 of 20 cores"}}`), driver.ErrCapacity, "20 of 20"},
		{answer(404, `{"itemNotFound": {"message": "Instance x could not be found."}}`), driver.ErrNotFound, "could not be found"},
		{answer(409, `{"NeutronError": {"type": "OverQuota", "message": "Quota exceeded for resources: ['port']."}}`), driver.ErrCapacity, "port"},
		{answer(409, `{"NeutronError": {"type": "IpAddressGenerationFailure", "message": "No more IP addresses available on network x."}}`), driver.ErrCapacity, "No more"},
		{answer(409, `{"conflictingRequest": {"message": "Cannot 'suspend' instance x while it is in task_state rebooting"}}`), driver.ErrUnavailable, "rebooting"},
		{answer(409, `{"conflictingRequest": {"message": "Cannot 'suspend' instance x while it is in vm_state stopped"}}`), driver.ErrInvalid, "stopped"},
		{answer(409, `{"NeutronError": {"type": "NetworkInUse", "message": "in use"}}`), driver.ErrUnavailable, "in use"},
		{answer(413, `{"overLimit": {"message": "This request was rate-limited.", "retryAfter": "7"}}`), driver.ErrCapacity, "rate-limited"},
		{answer(429, `slow down`), driver.ErrThrottled, "slow down"},
		{answer(500, `{"computeFault": {"message": "Unexpected API Error: quota"}}`), driver.ErrUnavailable, "Unexpected"},
		{answer(501, ``), driver.ErrUnsupported, ""},
		{answer(503, `<html>`), driver.ErrUnavailable, "<html>"},
		{&loginError{answer(401, `{"error": {"message": "no"}}`)}, driver.ErrDenied, "log in to Keystone: no"},
		{&loginError{&net.OpError{Op: "read", Err: errors.New("reset")}}, driver.ErrUnavailable, "reset"},
		{&net.OpError{Op: "dial", Err: errors.New("refused")}, driver.ErrUnasked, "refused"},
		{&net.OpError{Op: "read", Err: errors.New("reset")}, driver.ErrUnavailable, "reset"},
		{&gophercloud.ErrUnableToReauthenticate{ErrOriginal: errors.New("x"), ErrReauth: answer(401, `{"error": {"message": "gone"}}`)}, driver.ErrDenied, ""},
		{&gophercloud.ErrErrorAfterReauthentication{ErrOriginal: answer(404, "")}, driver.ErrNotFound, ""},
		{&gophercloud.ErrEndpointNotFound{}, driver.ErrDenied, ""},
		{context.DeadlineExceeded, context.DeadlineExceeded, ""},
		{refuse("image", "no"), driver.ErrInvalid, "image"},
	} {
		if err := classed(c.err); !errors.Is(err, c.class) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: %v, want %v and %q", c.err, err, c.class, c.says)
		}
	}
	if after := driver.RetryAfter(classed(answer(429, ""))); after != 7*time.Second {
		t.Errorf("asked to wait %v", after)
	}
}

func TestRules(t *testing.T) {
	port := func(n int) *int { return &n }
	for text, want := range map[string][]rule{
		"tcp 22":                      {{Direction: "ingress", Version: "IPv4", Protocol: "tcp", Min: port(22), Max: port(22)}, {Direction: "ingress", Version: "IPv6", Protocol: "tcp", Min: port(22), Max: port(22)}},
		"TCP 80-90 from 10.0.0.9/8":   {{Direction: "ingress", Version: "IPv4", Protocol: "tcp", Min: port(80), Max: port(90), Network: "10.0.0.0/8"}},
		"egress udp 53 to fd00::/8":   {{Direction: "egress", Version: "IPv6", Protocol: "udp", Min: port(53), Max: port(53), Network: "fd00::/8"}},
		"any from web":                {{Direction: "ingress", Version: "IPv4", Group: "web"}, {Direction: "ingress", Version: "IPv6", Group: "web"}},
		"icmp":                        {{Direction: "ingress", Version: "IPv4", Protocol: "icmp"}, {Direction: "ingress", Version: "IPv6", Protocol: "icmp"}},
		"":                            nil,
		"egress":                      nil,
		"tcp x":                       nil,
		"tcp 9-1":                     nil,
		"tcp 70000":                   nil,
		"any 22":                      nil,
		"tcp 22 to 10.0.0.0/8":        nil,
		"egress tcp from 10.0.0.0/8":  nil,
		"tcp 22 from 10.0.0.0/8 more": nil,
	} {
		got, err := parseRule(text)
		if diff := cmp.Diff(want, got); (err == nil) != (want != nil) || diff != "" {
			t.Errorf("%q: %v %s", text, err, diff)
		}
	}
}

func FuzzRule(f *testing.F) {
	f.Add("egress tcp 1-2 to ::/0")
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := parseRule(text)
		if (err == nil) != (len(rules) > 0) {
			t.Errorf("%q: %v, %v", text, rules, err)
		}
	})
}

func FuzzLabel(f *testing.F) {
	f.Add("troupe-i-7-r3_4_front")
	c := &cloud{installation: "i"}
	f.Fuzz(func(t *testing.T, name string) {
		l, ours := c.readLabel(name)
		if !ours {
			return
		}
		again, ours := c.readLabel(c.labelOf(&driver.ResourceRequest{ID: l.id, Generation: l.generation, Key: l.key}))
		if !ours || again != l {
			t.Errorf("%q: %+v, then %+v", name, l, again)
		}
	})
}

func TestLabels(t *testing.T) {
	c := &cloud{installation: "i-1"}
	name := c.labelOf(&driver.ResourceRequest{ID: "7-r3", Generation: 4, Key: "front_key"})
	if l, ours := c.readLabel(name); !ours || l != (label{"7-r3", 4, "front_key"}) || l.service() != "7" {
		t.Errorf("%q: %+v %t", name, l, ours)
	}
	for _, other := range []string{"", "mine", "troupe-i-1-mine", "troupe-i-7-r3_4_x", "troupe-i-1-other-7-r3_4_x"} {
		if l, ours := c.readLabel(other); ours {
			t.Errorf("%q is %+v", other, l)
		}
	}
	for _, text := range []string{c.mark(), keyTag(strings.Repeat("x", 63)), keyTag("a,b"), (&cloud{installation: strings.Repeat("y", 80)}).machineTag("1-2-3")} {
		if t2 := tag(text); len(text) > 60 || strings.ContainsAny(text, ",/") || t2 != text {
			t.Errorf("%q is no tag", text)
		}
	}
	if keyTag(strings.Repeat("x", 63)) == keyTag(strings.Repeat("x", 62)+"y") {
		t.Error("two keys have one tag")
	}
}

func TestUserData(t *testing.T) {
	req := driver.Request{ID: "1-2-3", UserData: []byte("#cloud-config\nwrite_files: [{path: /etc/motd, content: hello}]\n"), Env: map[string]string{"A": "it's", "B": "2"},
		Files: []driver.File{{Path: "etc/app conf", Mode: 0o640, Content: []byte(strings.Repeat("long\n", 100))}}}
	data, err := userData(&req)
	if err != nil {
		t.Fatal(err)
	}
	p, err := cloudinit.Read(data)
	if err != nil || len(p.Boot) != 1 || len(p.Files) != 1 || p.Files[0].Path != "/etc/motd" || len(p.Warnings) > 0 {
		t.Fatalf("%+v %v", p, err)
	}
	script := p.Boot[0].Shell
	for _, want := range []string{"> '/etc/app conf'", "chmod 640 '/etc/app conf'", "chmod 600 '/etc/troupe/environment'", "QT0naXQnXCcncycKQj0nMicK"} {
		if !strings.Contains(script, want) {
			t.Errorf("%q is not in\n%s", want, script)
		}
	}
	if data, err := userData(&driver.Request{UserData: []byte("#!/bin/sh\n")}); err != nil || string(data) != "#!/bin/sh\n" {
		t.Errorf("%q %v", data, err)
	}
	if data, err := userData(&driver.Request{UserData: []byte("#!/bin/sh\n" + strings.Repeat("#", 60000))}); err != nil || data[0] != 0x1f {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}

func TestSmallest(t *testing.T) {
	list := []flavors.Flavor{{ID: "a", VCPUs: 8, RAM: 512}, {ID: "b", VCPUs: 2, RAM: 2048, Disk: 9}, {ID: "c", VCPUs: 2, RAM: 2048, Disk: 1}, {ID: "d", VCPUs: 4, RAM: 4096}}
	for _, c := range []struct {
		cpus   float64
		memory int64
		want   string
	}{{0, 0, "a"}, {1.5, 1 << 30, "c"}, {3, 1 << 30, "d"}, {9, 0, ""}, {0, 5 << 30, ""}} {
		got, err := smallest(list, &driver.Request{CPUs: c.cpus, Memory: c.memory})
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%g processors, %d bytes: %q %v, want %q", c.cpus, c.memory, got, err, c.want)
		}
	}
}

func TestShow(t *testing.T) {
	one := func(addr, kind, mac string) any {
		return map[string]any{"addr": addr, "OS-EXT-IPS:type": kind, "OS-EXT-IPS-MAC:mac_addr": mac}
	}
	v := &servers.Server{ID: "n", Status: "ACTIVE", Metadata: map[string]string{metaMachine: "1-2-3", metaGeneration: "4", metaNetwork: "front"},
		Addresses: map[string]any{"back": []any{one("10.1.0.2", "fixed", "b")}, "front": []any{one("10.2.0.2", "fixed", "f"), one("203.0.113.7", "floating", "f")}}}
	want := driver.Machine{ID: "1-2-3", Native: "n", State: driver.Running, Generation: 4, Addresses: []string{"203.0.113.7", "10.2.0.2", "10.1.0.2"}}
	if diff := cmp.Diff(want, show(v, "")); diff != "" {
		t.Error(diff)
	}
	if f := firstOf(map[string]string{"b": "203.0.113.8"}, v); f != "203.0.113.8" {
		t.Errorf("floating address %q", f)
	}
	if m := show(v, "203.0.113.8"); m.Addresses[0] != "203.0.113.8" || len(m.Addresses) != 4 {
		t.Errorf("addresses %v", m.Addresses)
	}
	for status, state := range map[string]driver.State{"BUILD": driver.Pending, "REBOOT": driver.Running, "SHUTOFF": driver.Stopped, "SUSPENDED": driver.Suspended, "PAUSED": driver.Suspended,
		"SHELVED_OFFLOADED": driver.Undeployed, "ERROR": driver.Failed, "SOFT_DELETED": driver.Gone, "UNKNOWN": driver.Unknown, "": driver.Unknown} {
		if got := show(&servers.Server{Status: status, Fault: servers.Fault{Message: "why"}}, ""); got.State != state || (state == driver.Failed) != (got.Reason == "why") {
			t.Errorf("%s: %s, %q", status, got.State, got.Reason)
		}
	}
}

func TestAdded(t *testing.T) {
	for _, c := range [][3]string{{"", "a\n", "a\n"}, {"a\n", "a\nb\n", "b\n"}, {"a\nb\n", "b\nc\n", "b\nc\n"}, {"x\na\n", "x\na\n", ""}} {
		if got := added([]byte(c[0]), []byte(c[1])); string(got) != c[2] {
			t.Errorf("%q, then %q: %q", c[0], c[1], got)
		}
	}
}
