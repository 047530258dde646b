package occopus

import (
	"cmp"

	"github.com/troupe-dev/troupe/internal/service"
)

// Places returns the resource sections of definitions that say where their machines belong beside an end point: which
// project of a cloud, which region. A server needs an account for each. Those that hold templates there are left out.
func Places(definitions []Definition) (out []service.Values) {
	for _, d := range definitions {
		for _, x := range d.Implementations {
			if kind, _ := x.Resource["type"].(string); kind != "nova" {
				continue
			}
			if place := AccountOf(x.Resource, nil); !templated(text(place["endpoint"]) + text(place["project_id"]) + text(place["region"]) + text(place["user_domain"])) {
				out = append(out, x.Resource)
			}
		}
	}
	return out
}

// AccountOf returns the options of an account that makes the machines of a resource section of type nova with
// credentials of auth_data.yaml.
func AccountOf(section, credentials map[string]any) map[string]any {
	out := map[string]any{"endpoint": text(section["endpoint"])}
	if region := text(section["region_name"]); region != "" {
		out["region"] = region
	}
	if text(credentials["type"]) == "application_credential" { // it says the rest
		out["application_credential_id"], out["application_credential_secret"] = text(credentials["id"]), text(credentials["secret"])
		return out
	}
	out["project_id"], out["user_domain"] = text(section["project_id"]), cmp.Or(text(section["user_domain_name"]), "Default")
	if credentials != nil {
		out["username"], out["password"] = text(credentials["username"]), text(credentials["password"])
	}
	return out
}
