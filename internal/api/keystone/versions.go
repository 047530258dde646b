package keystone

import "net/http"

func version(r *http.Request, id, status, updated, path string) object {
	media := map[string]string{"/v3/": "v3", "/v2.0/": "v2.0"}[path]
	return object{"id": id, "status": status, "updated": updated,
		"links":       []object{{"rel": "self", "href": self(r) + path}},
		"media-types": []object{{"base": "application/json", "type": "application/vnd.openstack.identity-" + media + "+json"}}}
}

func v3(r *http.Request) object {
	return version(r, "v3.14", "stable", "2020-04-07T00:00:00Z", "/v3/")
}

func v2(r *http.Request) object {
	return version(r, "v2.0", "deprecated", "2016-08-04T00:00:00Z", "/v2.0/")
}

func (k *Keystone) listVersions(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Location", self(r)+"/v3/")
	return writeJSON(w, http.StatusMultipleChoices, object{"versions": object{"values": []object{v3(r), v2(r)}}})
}

func (k *Keystone) showV3(w http.ResponseWriter, r *http.Request) error {
	return writeJSON(w, http.StatusOK, object{"version": v3(r)})
}

func (k *Keystone) showV2(w http.ResponseWriter, r *http.Request) error {
	return writeJSON(w, http.StatusOK, object{"version": v2(r)})
}
