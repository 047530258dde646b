package keystone

import "net/http"

// A route is one method on one path.
type route struct {
	method, path string
	do           func(*Keystone, http.ResponseWriter, *http.Request) error
}

// routes are those of the specification's section 8.
var routes = []route{
	{"GET", "/{$}", (*Keystone).listVersions},
	{"GET", "/v3", (*Keystone).showV3},
	{"GET", "/v2.0", (*Keystone).showV2},

	{"POST", "/v3/auth/tokens", (*Keystone).createToken},
	{"GET", "/v3/auth/tokens", (*Keystone).showToken}, // HEAD, too
	{"DELETE", "/v3/auth/tokens", (*Keystone).deleteToken},
	{"GET", "/v3/auth/projects", (*Keystone).listProjects},
	{"GET", "/v3/auth/catalog", (*Keystone).showCatalog},

	{"POST", "/v3/users/{user}/application_credentials", (*Keystone).createCredential},
	{"GET", "/v3/users/{user}/application_credentials", (*Keystone).listCredentials},
	{"GET", "/v3/users/{user}/application_credentials/{id}", (*Keystone).showCredential},
	{"DELETE", "/v3/users/{user}/application_credentials/{id}", (*Keystone).deleteCredential},

	{"POST", "/v2.0/tokens", (*Keystone).createTokenV2},
	{"GET", "/v2.0/tokens/{token}", (*Keystone).showTokenV2},
	{"DELETE", "/v2.0/tokens/{token}", (*Keystone).deleteTokenV2},
	{"GET", "/v2.0/tenants", (*Keystone).listTenants},
}
