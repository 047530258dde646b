package cli

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/client"
)

// The configuration of an original service manager is an INI file. What it says of logs, databases and registration has no meaning here:
// Troupe keeps records and logs itself, and its catalogue lists every manager.

// ini are the values of an INI file by "section/key".
type ini map[string]string

// ignored are the keys that mean nothing here, and need no warning.
var ignored = map[string]bool{"general/log_file": true, "general/graylog_api": true, "general/graylog_port": true, "service_manager/ssh_key_location": true, "service_manager/design_uri": true,
	"service_manager_admin/register_service": true, "service_manager_admin/service_token": true, "service_manager_admin/service_tenant_name": true, "service_manager_admin/region": true, "mongo/host": true}

// readINI reads a file; its errors say in which line something is wrong.
func readINI(name string) (ini, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	if len(text) > maxConfig {
		return nil, withCode(exitInvalid, fmt.Errorf("%s: larger than 1 MiB", name))
	}
	values, section := ini{}, ""
	lines := bufio.NewScanner(strings.NewReader(string(text)))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		switch key, value, ok := strings.Cut(line, "="); {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[' && line[len(line)-1] == ']':
			section = line[1 : len(line)-1]
		case !ok || section == "":
			return nil, withCode(exitInvalid, fmt.Errorf("%s:%d: %.80q is neither [section] nor key = value within one", name, n, line))
		default:
			values[section+"/"+strings.ToLower(strings.TrimSpace(key))] = strings.TrimSpace(value)
		}
	}
	return values, lines.Err()
}

// takeOver fills in what flags have not said, and returns the manifest's file.
func (o *managerOptions) takeOver(t *terminal, manifest string, p *client.PutManager) (string, error) {
	values, err := readINI(o.config)
	if err != nil {
		return "", err
	}
	take := func(key, env string) string {
		v := values[key]
		delete(values, key)
		if env != "" {
			v = cmp.Or(t.env(env), v)
		}
		return v
	}
	beside := func(file string) string {
		if file == "" || filepath.IsAbs(file) {
			return file
		}
		return filepath.Join(filepath.Dir(o.config), file)
	}
	if m := take("general/manager", ""); m != "" && m != "so_manager" {
		return "", withCode(exitInvalid, fmt.Errorf("%s: general/manager: %q is not supported: each orchestrator is a program of its own (so_manager)", o.config, m))
	}
	manifest = cmp.Or(manifest, beside(take("service_manager/manifest", "")))
	o.parameters = cmp.Or(o.parameters, beside(take("service_manager/service_params", "")))
	if bundle := take("service_manager/bundle_location", "BUNDLE_LOC"); o.Bundle == "" && o.Program == "" {
		if strings.HasPrefix(bundle, "/") || strings.HasPrefix(bundle, ".") {
			o.Bundle = bundle
		} else {
			o.Program = bundle
		}
	}
	if url := take("cloud_controller/nb_api", "CC_URL"); o.CloudURL == "" && url != "" {
		o.CloudURL = url
		o.CloudUser, p.CloudPassword = cmp.Or(o.CloudUser, take("cloud_controller/user", "CC_USER")), take("cloud_controller/pwd", "CC_PASSWORD")
	}
	if wait := take("cloud_controller/wait_time", ""); wait != "" && o.Wait == "" {
		o.Wait = wait + "ms"
	}
	if n := take("cloud_controller/max_attempts", ""); n != "" && o.Attempts == 0 {
		if o.Attempts, err = strconv.Atoi(n); err != nil {
			return "", withCode(exitInvalid, fmt.Errorf("%s: cloud_controller/max_attempts: %.20q is no number", o.config, n))
		}
	}
	for key := range values {
		if !ignored[key] {
			fmt.Fprintf(t.err, "Warning: %s: %s means nothing here\n", o.config, key)
		}
	}
	return manifest, nil
}
