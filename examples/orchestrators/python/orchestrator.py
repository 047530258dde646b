#!/usr/bin/env python3
"""A service orchestrator in Python, with the standard library alone.

It serves what every orchestrator serves (docs/orchestrators.md, "The interface"), and has a stack made from a Heat template.
Started by the Cloud Controller it listens at port 8080 of its own address, started by hand at port 8051 of this machine.
"""

import http.server
import json
import os
import re
import signal
import sys
import threading
import urllib.error
import urllib.request
import uuid

SCHEME = "http://schemas.mobile-cloud-networking.eu/occi/service#"
PATH = "/orchestrator/default"
TEMPLATE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "template.json")


class Refused(Exception):
    """An answer that is not what the client wants."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


class Cloud:
    """The services of a tenant: found in Keystone's catalogue, called with the token of whoever manages the service."""

    def __init__(self, token, tenant):
        design = os.environ["DESIGN_URI"].rstrip("/")
        self.design = re.sub(r"/v(2\.0|3)$", "", design) + "/v3"
        scope = {"project": {"name": tenant, "domain": {"id": "default"}}}
        login = {"auth": {"identity": {"methods": ["token"], "token": {"id": token}}, "scope": scope}}
        answer, headers = self.call("POST", self.design + "/auth/tokens", login, {})
        self.token = headers["X-Subject-Token"]
        self.catalog = answer["token"]["catalog"]

    def endpoint(self, kind):
        for service in self.catalog:
            for point in service["endpoints"]:
                if service["type"] == kind and point["interface"] == "internal":
                    return point["url"].rstrip("/")
        raise Refused(500, "The endpoint of %s could not be found; is the service registered?" % kind)

    def call(self, method, url, body=None, headers=None):
        headers = {"X-Auth-Token": self.token} if headers is None else headers
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {**headers, "Content-Type": "application/json", "Accept": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
            return json.loads(text) if text else None, answer.headers

    def heat(self, method, path, body=None):
        return self.call(method, self.endpoint("orchestration") + path, body)[0]


class Service:
    """The one service that this program is for. What is known of it is kept in a file, where there is a place for one."""

    def __init__(self):
        folder = os.environ.get("TROUPE_DATA")
        self.file = os.path.join(folder, "service.json") if folder else None
        self.known = None
        if self.file and os.path.exists(self.file):
            with open(self.file) as f:
                self.known = json.load(f)

    def keep(self):
        if not self.file:
            return
        if self.known is None:
            os.remove(self.file)
            return
        with os.fdopen(os.open(self.file + ".new", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as f:
            json.dump(self.known, f)
        os.replace(self.file + ".new", self.file)

    def cloud(self):
        return Cloud(self.known["token"], self.known["tenant"])

    def stack(self):
        return "/stacks/%s/%s" % (self.known["name"], self.known["stack"])

    # The phases.

    def initialise(self, caller, attributes):
        Cloud(*caller).endpoint("orchestration")  # design: what the service needs must be there
        self.known = {"token": caller[0], "tenant": caller[1], "attributes": attributes, "next": "deploy"}
        self.keep()

    def deploy(self):
        # The name is kept before the stack is made: if nobody hears of its making, it is found by its name.
        self.known.setdefault("name", "so-" + uuid.uuid4().hex)
        self.keep()
        with open(TEMPLATE) as f:
            body = {"stack_name": self.known["name"], "template": json.load(f), "disable_rollback": True, "timeout_mins": 60}
        cloud = self.cloud()
        try:
            self.known["stack"] = cloud.heat("POST", "/stacks", body)["stack"]["id"]
        except urllib.error.HTTPError as error:
            if error.code != 409:
                raise
            self.known["stack"] = cloud.heat("GET", "/stacks/" + self.known["name"])["stack"]["id"]
        self.known["next"] = "provision"
        self.keep()

    def provision(self):
        self.known["next"] = None
        self.keep()

    def update(self, attributes):
        self.known["attributes"].update(attributes)
        self.keep()

    def dispose(self):
        if self.known.get("stack"):
            try:
                self.cloud().heat("DELETE", self.stack())
            except urllib.error.HTTPError as error:
                if error.code != 404:
                    raise
        self.known = None
        self.keep()

    def state(self):
        """All attributes: what clients said, what the stack puts out, and how it stands."""
        shown = dict(self.known["attributes"])
        stack, state = "N/A", "uninitialized"
        if self.known.get("stack"):
            stack, state = self.known["stack"], "Unknown"
            try:
                found = self.cloud().heat("GET", self.stack())["stack"]
                state = found["stack_status"]
                for output in found.get("outputs", []):
                    value = output["output_value"]
                    if value is not None:
                        shown[output["output_key"]] = value if isinstance(value, str) else json.dumps(value)
            except urllib.error.HTTPError as error:
                if error.code != 404:
                    raise
        return {**shown, "occi.mcn.stack.state": state, "occi.mcn.stack.id": stack, "occi.core.id": PATH}


# OCCI's text: categories and attributes are in headers, or lines of the body.

VALUE = r'"(?:[^"\\]|\\.)*"|[^",]*'


def attributes_of(lines):
    """name="value", other=value, … as a mapping. Empty members are skipped; values need no quotes."""
    out = {}
    for line in lines:
        for name, value in re.findall(r'([A-Za-z0-9_.-]+)\s*=\s*(%s)' % VALUE, line):
            value = value.strip()
            out[name] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
    return out


def terms_of(lines):
    """The terms of the categories that are ours."""
    return [term for line in lines for term, scheme in re.findall(r'([a-z_]+)\s*;\s*scheme="([^"]*)"', line) if scheme == SCHEME]


def kind(absolute):
    return {"term": "orchestrator", "scheme": SCHEME, "title": "Orchestrator", "related": ["http://schemas.ogf.org/occi/core#resource"],
            "location": absolute + "/orchestrator/", "actions": [SCHEME + "deploy", SCHEME + "provision"],
            "attributes": {"occi.mcn.stack.state": "immutable", "occi.mcn.stack.id": "immutable"}}


def category(absolute):
    return ('orchestrator; scheme="%s"; class="kind"; title="Orchestrator"; rel="http://schemas.ogf.org/occi/core#resource"; location="%s/orchestrator/"; '
            'attributes="occi.mcn.stack.state{immutable} occi.mcn.stack.id{immutable}"; actions="%sdeploy %sprovision"' % (SCHEME, absolute, SCHEME, SCHEME))


service = Service()
acting = threading.Lock()  # held by the one request at a time that changes the service


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "orchestrator.py OCCI/1.1"

    def lines(self, name):
        """The values of a header, and of the body's lines of that name."""
        return self.headers.get_all(name, []) + [line.split(":", 1)[1] for line in self.body.splitlines() if line.lower().startswith(name.lower() + ":")]

    def absolute(self):
        return "http://" + self.headers.get("Host", "localhost")

    def caller(self):
        for header in ("X-Auth-Token", "X-Tenant-Name"):
            if not self.headers.get(header):
                raise Refused(403, header + " required...")
        return self.headers["X-Auth-Token"], self.headers["X-Tenant-Name"]

    def handle_request(self):
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        try:
            caller = self.caller()
            path, _, query = self.path.partition("?")
            getattr(self, "on_" + self.command.lower())(caller, path, query)
        except Refused as refused:
            self.answer(refused.status, str(refused))
        except urllib.error.HTTPError as error:
            self.answer(500, "%s answers %d: %s" % (error.url, error.code, error.read(500).decode(errors="replace")))
        except Exception as error:  # the program goes on
            self.log_message("%s", repr(error))
            self.answer(500, str(error))

    do_GET = do_PUT = do_POST = do_DELETE = handle_request

    def there(self, path):
        if path != PATH or service.known is None:
            raise Refused(404, "There is nothing at " + path)

    def on_get(self, caller, path, query):
        if path in ("/-/", "/.well-known/org/ogf/occi/-/"):
            self.answer(200, "\nCategory: " + category(self.absolute()), categories=[category(self.absolute())], document=[kind("")])
        elif path.endswith("/"):
            there = service.known is not None
            self.answer(200, "\nX-OCCI-Location: " + self.absolute() + PATH if there else "")
        else:
            self.there(path)
            self.entity()

    def on_put(self, caller, path, query):
        if path != PATH:
            raise Refused(404, "There is nothing at " + path)
        if "orchestrator" not in terms_of(self.lines("Category")):
            raise Refused(400, "The kind is missing; see /-/")
        with acting:
            if service.known is not None:  # again: attributes alone
                service.update(attributes_of(self.lines("X-OCCI-Attribute")))
            else:
                service.initialise(caller, attributes_of(self.lines("X-OCCI-Attribute")))
                return self.answer(201, "OK", location=self.absolute() + PATH)
        self.entity()

    def on_post(self, caller, path, query):
        self.there(path)
        with acting:
            service.known["token"] = caller[0]  # the older one may end
            if query.startswith("action="):
                term = query[len("action="):]
                if terms_of(self.lines("Category")) != [term]:
                    raise Refused(400, "The category of the action is missing, or another one; see /-/")
                if term != service.known["next"]:
                    raise Refused(400, "Not applicable atm.")
                getattr(service, term)()
            else:
                service.update(attributes_of(self.lines("X-OCCI-Attribute")))
        self.entity()

    def on_delete(self, caller, path, query):
        with acting:
            self.there(path)
            service.known["token"] = caller[0]
            service.dispose()
        self.answer(200, "OK")

    def entity(self):
        shown = service.state()
        lines = ["Category: " + category(self.absolute())]
        links = []
        if service.known["next"]:
            links = ['<%s?action=%s>; rel="%s%s"' % (PATH, service.known["next"], SCHEME, service.known["next"])]
        quoted = ['%s="%s"' % (name, value.replace("\\", "\\\\").replace('"', '\\"')) for name, value in shown.items()]
        lines += ["Link: " + link for link in links] + ["X-OCCI-Attribute: " + a for a in quoted]
        self.answer(200, "\n" + "\n".join(lines), categories=[category(self.absolute())], links=links, attributes=quoted,
                    document={"kind": kind(""), "mixins": [], "actions": [], "links": [], "attributes": shown})

    def answer(self, status, text, location=None, categories=(), links=(), attributes=(), document=None):
        """Answers in the form that the client takes: headers, JSON, or else lines."""
        accept = self.headers.get("Accept", "")
        form, headers = "text/plain", []
        if "application/occi+json" in accept and document is not None:
            form, text = "application/occi+json", json.dumps(document, indent=2, sort_keys=True)
        elif "text/occi" in accept and categories:
            form, text = "text/occi", "OK"
            headers = [("Category", ", ".join(categories))] + [(name, ", ".join(v)) for name, v in (("Link", links), ("X-OCCI-Attribute", attributes)) if v]
        data = text.encode()
        self.send_response(status)
        for name, value in headers + ([("Location", location)] if location else []):
            self.send_header(name, re.sub(r"[\r\n]", " ", value))
        self.send_header("Content-Type", form)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def main():
    address = ("127.0.0.1", 8051)
    if "DC_NAME" in os.environ:
        address = (os.environ.get("TROUPE_ADDRESS", ""), 8080)
    server = http.server.ThreadingHTTPServer(address, Handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("serving at %s:%d" % address, file=sys.stderr, flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
