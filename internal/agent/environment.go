package agent

import (
	"cmp"
	"strings"
)

// Environment takes what the environment says; it goes before the file. A target in the file stays the target.
//
// For Troupe: TROUPE_URL, TROUPE_TOKEN, TROUPE_TOKEN_FILE, TROUPE_CACERT, or what an instance has for OneGate:
// ONEGATE_ENDPOINT, ONEGATE_TOKEN or ONEGATE_TOKEN_FILE, VMID. For Monasca: OS_AUTH_URL, OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME,
// OS_PROJECT_ID, OS_USER_DOMAIN_NAME, OS_PROJECT_DOMAIN_NAME, OS_REGION_NAME, OS_CACERT, MONASCA_API_URL.
// Inside an instance TROUPE_SERVICE, TROUPE_ROLE and TROUPE_INSTANCE become dimensions.
func (c *Config) Environment(env func(string) string) {
	address := cmp.Or(env("TROUPE_URL"), strings.TrimSuffix(strings.TrimRight(env("ONEGATE_ENDPOINT"), "/"), "/onegate"))
	switch {
	case c.Monasca != nil:
		c.Monasca.environment(env)
	case c.Troupe != nil || address != "":
		if c.Troupe == nil {
			c.Troupe = new(TroupeTarget)
		}
		c.Troupe.environment(env, address)
	case env("OS_AUTH_URL") != "":
		c.Monasca = new(MonascaTarget)
		c.Monasca.environment(env)
	}
	c.Hostname = cmp.Or(c.Hostname, env("TROUPE_INSTANCE"))
	c.place = make(map[string]string)
	if c.Troupe != nil && c.Troupe.Instance != "" {
		return // the server sets them from the token
	}
	variables := map[string]string{"service": "TROUPE_SERVICE", "role": "TROUPE_ROLE"}
	if c.Monasca != nil {
		variables["instance"] = "TROUPE_INSTANCE" // a name; to Troupe an instance is a number, which the token tells
	}
	for dimension, variable := range variables {
		if value := env(variable); value != "" {
			c.place[dimension] = allowed(value)
		}
	}
}

func (t *TroupeTarget) environment(env func(string) string, address string) {
	override(&t.URL, address)
	override(&t.CACert, env("TROUPE_CACERT"))
	take := func(token, file string) bool {
		if token == "" && file == "" {
			return false
		}
		t.token, t.TokenFile = token, file
		if token != "" {
			t.TokenFile = ""
		}
		return true
	}
	switch {
	case take(env("TROUPE_TOKEN"), env("TROUPE_TOKEN_FILE")):
		t.Instance = ""
	case t.TokenFile == "" && env("VMID") != "" && take(env("ONEGATE_TOKEN"), env("ONEGATE_TOKEN_FILE")):
		t.Instance = env("VMID")
	}
}

func (m *MonascaTarget) environment(env func(string) string) {
	for _, x := range []struct {
		setting  *string
		variable string
	}{
		{&m.KeystoneURL, "OS_AUTH_URL"}, {&m.Username, "OS_USERNAME"}, {&m.ProjectName, "OS_PROJECT_NAME"}, {&m.ProjectID, "OS_PROJECT_ID"},
		{&m.UserDomainName, "OS_USER_DOMAIN_NAME"}, {&m.ProjectDomainName, "OS_PROJECT_DOMAIN_NAME"},
		{&m.RegionName, "OS_REGION_NAME"}, {&m.CACert, "OS_CACERT"}, {&m.URL, "MONASCA_API_URL"},
	} {
		override(x.setting, env(x.variable))
	}
	if p := env("OS_PASSWORD"); p != "" {
		m.password, m.PasswordFile = p, ""
	}
}

func override(setting *string, value string) {
	if value != "" {
		*setting = value
	}
}
