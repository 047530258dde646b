package openstack

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/config/clouds"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/openrc"
)

var accountOptions = []driver.Option{
	{Name: "endpoint", Type: driver.String, Examples: []string{"https://cloud.example.org:5000/v3"}, Help: "URL of Keystone. Without it, cloud or openrc the account is that of the environment (OS_AUTH_URL and so on)."},
	{Name: "cloud", Type: driver.String, Help: "An entry of clouds.yaml, which gives what is not given here."},
	{Name: "clouds_file", Type: driver.String, Help: "That file; by default the first of ./clouds.yaml, ~/.config/openstack/clouds.yaml, /etc/openstack/clouds.yaml. A secure.yaml beside it is read too."},
	{Name: "openrc", Type: driver.String, Examples: []string{"/etc/troupe/openrc"}, Help: "A file of lines such as export OS_USERNAME=…, which gives what is not given here."},
	{Name: "application_credential_id", Type: driver.String, Help: "Id of an application credential, which says the user and the project as well."},
	{Name: "application_credential_name", Type: driver.String, Help: "Its name, in place of the id; with username and user_domain."},
	{Name: "application_credential_secret", Type: driver.String, Secret: true, Help: "Its secret."},
	{Name: "username", Type: driver.String, Help: "Name of the user."},
	{Name: "user_id", Type: driver.String, Help: "Id of the user, in place of the name."},
	{Name: "password", Type: driver.String, Secret: true, Help: "The user's password."},
	{Name: "user_domain", Type: driver.String, Help: "Name or id of the user's domain; Default if absent."},
	{Name: "project", Type: driver.String, Help: "Name of the project."},
	{Name: "project_id", Type: driver.String, Help: "Id of the project, in place of the name."},
	{Name: "project_domain", Type: driver.String, Help: "Name or id of the project's domain; the user's if absent."},
	{Name: "region", Type: driver.String, Help: "The region; needed where the cloud has several."},
	{Name: "interface", Type: driver.String, Choices: []string{"public", "internal", "admin"}, Help: "Which addresses of the cloud's services are used; public if absent."},
	{Name: "tls_ca", Type: driver.String, Help: "File of the authority that signed the services' certificates."},
	{Name: "tls_cert", Type: driver.String, Advanced: true, Help: "File of a certificate that is shown to them."},
	{Name: "tls_key", Type: driver.String, Advanced: true, Help: "File of that certificate's key."},
	{Name: "measure", Type: driver.Bool, Default: false, Help: "Read each server's diagnostics for its load. Most clouds let only administrators."},
}

// An access is how a cloud is reached, and as whom.
type access struct {
	auth gophercloud.AuthOptions
	at   gophercloud.EndpointOpts
	tls  *tls.Config // nil for the host's own
}

// defaultDomain is the name that Keystone's first domain has everywhere.
const defaultDomain = "Default"

// accessOf reads the values of an account, and the file that they name.
func accessOf(values map[string]any) (*access, error) {
	a := &access{}
	text := func(name string) string { return driver.Get[string](values, name) }
	switch {
	case text("cloud") != "" && text("openrc") != "":
		return nil, refuse("openrc", "cannot be given beside cloud")
	case text("cloud") != "":
		if err := a.fromClouds(text("cloud"), text("clouds_file")); err != nil {
			return nil, err
		}
	case text("openrc") != "":
		set, err := openrc.Read(text("openrc"))
		if err != nil {
			return nil, refuse("openrc", err.Error())
		}
		if err := a.fromShell(set, text("openrc")); err != nil {
			return nil, err
		}
	case text("endpoint") == "":
		if err := a.fromShell(environment(), "the environment"); err != nil {
			return nil, err
		}
	}
	a.overlay(text)
	if err := a.check(); err != nil {
		return nil, err
	}
	ca, cert, key := text("tls_ca"), text("tls_cert"), text("tls_key")
	if ca+cert+key != "" {
		var err error
		if a.tls, err = tlsOf(ca, cert, key); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func environment() map[string]string {
	set := map[string]string{}
	for _, line := range os.Environ() {
		if name, value, ok := strings.Cut(line, "="); ok && strings.HasPrefix(name, "OS_") {
			set[name] = value
		}
	}
	return set
}

func (a *access) fromClouds(name, file string) error {
	opts := []clouds.ParseOption{clouds.WithCloudName(name)}
	if file != "" {
		if _, err := os.Stat(file); err != nil {
			return refuse("clouds_file", err.Error())
		}
		opts = append(opts, clouds.WithLocations(file))
	}
	var err error
	if a.auth, a.at, a.tls, err = clouds.Parse(opts...); err != nil {
		text := err.Error()
		if strings.Contains(text, "yaml:") { // it shows a piece of the file, which holds secrets
			text = "clouds.yaml or secure.yaml is no YAML of the right form"
		}
		return refuse("cloud", text)
	}
	return nil
}

// fromShell takes over what variables of a shell say, by the names that OpenStack's own clients read.
func (a *access) fromShell(set map[string]string, where string) error {
	if set["OS_CLOUD"] != "" && set["OS_AUTH_URL"] == "" {
		return a.fromClouds(set["OS_CLOUD"], set["OS_CLIENT_CONFIG_FILE"])
	}
	if set["OS_AUTH_URL"] == "" {
		return refuse("endpoint", fmt.Sprintf("is not given, and %s has no OS_AUTH_URL", where))
	}
	for _, name := range []string{"OS_PASSWORD", "OS_APPLICATION_CREDENTIAL_SECRET"} {
		if strings.HasPrefix(set[name], "$") {
			return refuse("openrc", fmt.Sprintf("%s asks a person for %s; write it into the file, or give it in the account", where, name))
		}
	}
	ca := set["OS_CACERT"]
	if ca != "" {
		var err error
		if a.tls, err = tlsOf(ca, "", ""); err != nil {
			return err
		}
	}
	a.auth.IdentityEndpoint = set["OS_AUTH_URL"]
	a.overlay(func(name string) string {
		for _, variable := range shellNames[name] {
			if v := set[variable]; v != "" {
				return v
			}
		}
		return ""
	})
	return nil
}

// shellNames are the variables that say what options of an account do, the most exact first.
var shellNames = map[string][]string{
	"application_credential_id": {"OS_APPLICATION_CREDENTIAL_ID"}, "application_credential_name": {"OS_APPLICATION_CREDENTIAL_NAME"},
	"application_credential_secret": {"OS_APPLICATION_CREDENTIAL_SECRET"},
	"username":                      {"OS_USERNAME"}, "user_id": {"OS_USER_ID", "OS_USERID"}, "password": {"OS_PASSWORD"},
	"user_domain": {"OS_USER_DOMAIN_ID", "OS_USER_DOMAIN_NAME", "OS_DOMAIN_ID", "OS_DOMAIN_NAME"},
	"project":     {"OS_PROJECT_NAME", "OS_TENANT_NAME"}, "project_id": {"OS_PROJECT_ID", "OS_TENANT_ID"},
	"project_domain": {"OS_PROJECT_DOMAIN_ID", "OS_PROJECT_DOMAIN_NAME"},
	"region":         {"OS_REGION_NAME"}, "interface": {"OS_INTERFACE", "OS_ENDPOINT_TYPE"},
}

// overlay puts what get says before what is known.
func (a *access) overlay(get func(name string) string) {
	o := &a.auth
	o.IdentityEndpoint = cmp.Or(get("endpoint"), o.IdentityEndpoint)
	if get("application_credential_id") != "" || get("application_credential_name") != "" {
		o.ApplicationCredentialID, o.ApplicationCredentialName = get("application_credential_id"), get("application_credential_name")
		o.Password, o.Scope = "", nil
	}
	o.ApplicationCredentialSecret = cmp.Or(get("application_credential_secret"), o.ApplicationCredentialSecret)
	if get("username") != "" || get("user_id") != "" {
		o.Username, o.UserID = get("username"), get("user_id")
	}
	o.Password = cmp.Or(get("password"), o.Password)
	if d := get("user_domain"); d != "" {
		o.DomainID, o.DomainName = domain(d)
	}
	if name, id := get("project"), get("project_id"); id != "" {
		o.Scope = &gophercloud.AuthScope{ProjectID: id}
	} else if name != "" {
		o.Scope = &gophercloud.AuthScope{ProjectName: name}
	}
	if s := o.Scope; s != nil && s.ProjectName != "" {
		switch d := get("project_domain"); {
		case d != "":
			s.DomainID, s.DomainName = domain(d)
		case s.DomainID == "" && s.DomainName == "":
			s.DomainID, s.DomainName = o.DomainID, o.DomainName
		}
		if s.DomainID == "" && s.DomainName == "" {
			s.DomainName = defaultDomain
		}
	}
	a.at.Region = cmp.Or(get("region"), a.at.Region)
	if i := strings.TrimSuffix(get("interface"), "URL"); i != "" {
		a.at.Availability = gophercloud.Availability(i)
	}
}

// domain tells an id of a domain from a name: ids are 32 hexadecimal digits, but for the first domain's.
func domain(text string) (id, name string) {
	if text == "default" || len(text) == 32 && strings.Trim(text, "0123456789abcdef") == "" {
		return text, ""
	}
	return "", text
}

// check says what is missing, and fills in what goes without saying.
func (a *access) check() error {
	o := &a.auth
	if u, err := url.Parse(o.IdentityEndpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return refuse("endpoint", fmt.Sprintf("%q is no URL of a Keystone; give one such as https://HOST:5000/v3", withoutUser(u, o.IdentityEndpoint)))
	}
	if !strings.Contains(o.IdentityEndpoint, "/v3") {
		o.IdentityEndpoint = strings.TrimRight(o.IdentityEndpoint, "/") + "/v3"
	}
	o.IdentityEndpoint = strings.TrimRight(o.IdentityEndpoint, "/") + "/"
	o.AllowReauth = true
	o.TenantID, o.TenantName = "", "" // Scope says it
	if a.at.Availability == "" {
		a.at.Availability = gophercloud.AvailabilityPublic
	}
	if o.ApplicationCredentialID+o.ApplicationCredentialName != "" {
		if o.ApplicationCredentialSecret == "" {
			return refuse("application_credential_secret", "is missing")
		}
		o.Password, o.Scope = "", nil
		if o.ApplicationCredentialID != "" {
			o.Username, o.UserID, o.DomainID, o.DomainName = "", "", "", ""
			return nil
		}
	}
	switch {
	case o.Username+o.UserID == "" && o.TokenID == "":
		return refuse("username", "is missing; give application_credential_id and its secret, or username, password and project")
	case o.Password+o.ApplicationCredentialSecret+o.TokenID == "":
		return refuse("password", "is missing")
	case o.ApplicationCredentialName == "" && (o.Scope == nil || o.Scope.ProjectID+o.Scope.ProjectName == ""):
		return refuse("project", "is missing")
	case o.TokenID != "":
		return refuse("cloud", "a token ends soon; use an application credential or a password")
	}
	if o.UserID != "" {
		o.Username, o.DomainID, o.DomainName = "", "", ""
	} else if o.DomainID == "" && o.DomainName == "" {
		o.DomainName = defaultDomain
	}
	return nil
}

// withoutUser returns a URL as it may be shown.
func withoutUser(u *url.URL, text string) string {
	if u == nil {
		return "it"
	}
	if u.User != nil {
		u.User = nil
		return u.String()
	}
	return text
}

func tlsOf(ca, cert, key string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		text, err := os.ReadFile(ca)
		if err != nil {
			return nil, refuse("tls_ca", err.Error())
		}
		if c.RootCAs, err = x509.SystemCertPool(); err != nil {
			c.RootCAs = x509.NewCertPool()
		}
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, refuse("tls_ca", ca+" holds no certificate")
		}
	}
	if cert+key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, refuse("tls_cert", err.Error())
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// reaches says why an account cannot make a machine that says where it belongs.
func reaches(values, options map[string]any) error {
	a, err := accessOf(values)
	if err != nil {
		return err
	}
	text := func(name string) string { s, _ := options[name].(string); return s }
	return a.meant(text("endpoint"), text("project"), text("region"), text("user_domain"))
}

// verify says what open would refuse.
func verify(cfg driver.Config) error {
	_, err := accessOf(cfg.Values)
	return err
}

// endpointOf returns the Keystone of an account.
func endpointOf(values map[string]any) string {
	a, err := accessOf(values)
	if err != nil {
		return driver.Get[string](values, "endpoint")
	}
	return strings.TrimRight(a.auth.IdentityEndpoint, "/")
}

func refuse(option, problem string) error {
	return &driver.OptionError{Option: option, Problem: problem}
}
