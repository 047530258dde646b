package monasca

import "net/http"

// version describes the one version that there is.
func (r *request) version() object {
	return object{"id": "v2.0", "links": []link{{"self", r.at("/v2.0")}}, "status": "CURRENT", "updated": "2013-03-06T00:00:00.000Z"}
}

func (m *Monasca) listVersions(r *request) (answer, error) {
	return ok(object{"links": []link{{"self", r.at("/")}}, "elements": []object{r.version()}})
}

func (m *Monasca) showVersion(r *request) (answer, error) {
	if r.PathValue("version") != "v2.0" {
		return answer{}, &fault{http.StatusUnprocessableEntity, "Invalid version", "the only version is v2.0"}
	}
	return ok(r.version())
}

// health needs no token. The face is served only while the server is at work.
func (m *Monasca) health(r *request) (answer, error) {
	if r.Method == http.MethodHead {
		return answer{status: http.StatusNoContent}, nil
	}
	status, metrics := http.StatusOK, "OK"
	if err := m.Control.MetricsHealth().Intake.History.Failing; err != nil {
		status, metrics = http.StatusServiceUnavailable, "samples cannot be recorded at present"
	}
	return answer{status, object{"metrics_database": metrics}}, nil
}
