"""Troupe's native API from Python, with the standard library alone (Python 3.9 or newer).

    import troupe

    client = troupe.Client("http://127.0.0.1:7070", user="oneadmin", password=password)
    service = client.services.create(source=open("web.yaml").read())
    service = client.services.wait_for(service["id"], "RUNNING")
    client.services.scale(service["id"], "app", "+2")
    client.services.remove(service["id"])
    client.services.wait_for(service["id"], troupe.GONE)

Operations bear the names of the Go client's. Objects are dictionaries as the API gives them; its schema is
at /v1/openapi.json. A service is named by its number, its name, or PROJECT/NAME. Times are in seconds.
Calls that may be repeated are, when the server cannot be reached or is busy; those that create something
carry a key, so that they count once. A Client may be used by several threads.
"""

import base64
import http.client
import json
import os
import random
import secrets
import socket
import ssl
import time
import urllib.parse

__all__ = ["Client", "Problem", "StateError", "Unreachable", "GONE"]

#: The state to wait_for until a service is no more.
GONE = "GONE"

#: A server that is there sends something at least every 15 s.
_SILENCE = 45.0


class Problem(Exception):
    """What the server refused. status is that of HTTP; errors say what is wrong where."""

    def __init__(self, status, document, retry_after=None):
        self.status = status
        self.title = document.get("title") or http.client.responses.get(status, "error")
        self.detail = document.get("detail") or ""
        self.errors = document.get("errors") or []
        self.request = document.get("request") or ""
        self.retry_after = retry_after
        super().__init__(self._text())

    def _text(self):
        places = []
        for e in self.errors:
            at = e.get("location") or ":".join(str(e[k]) for k in ("file", "line", "column") if e.get(k))
            if e.get("path"):
                at += ": " * bool(at) + e["path"]
            places.append((at + ": " if at else "") + (e.get("detail") or e.get("message") or ""))
        return "; ".join(places) or self.detail or self.title

    not_found = property(lambda self: self.status == 404)
    denied = property(lambda self: self.status == 403)
    unauthorized = property(lambda self: self.status == 401)
    conflict = property(lambda self: self.status == 409)
    invalid = property(lambda self: self.status in (400, 413, 415, 422))


class Unreachable(Exception):
    """The server did not answer."""


class StateError(Exception):
    """A service came into a state that does not lead where wait_for wants it. service is as it was then."""

    def __init__(self, service, states):
        self.service, self.states = service, states
        text = "service %s is %s, not %s" % (service["name"], service["state"], " or ".join(states))
        if service.get("reason"):
            text += ": " + service["reason"]
        super().__init__(text)


class Client:
    """Calls one server.

    url is http(s)://HOST:PORT, or unix:///PATH for the socket of one on this host, which asks for no
    credentials. What is None comes from TROUPE_URL, TROUPE_USER, TROUPE_PASSWORD, TROUPE_TOKEN and
    TROUPE_CACERT. timeout bounds each attempt of a call that does not stream, in seconds.
    """

    def __init__(self, url=None, user=None, password=None, token=None, ca=None, timeout=30.0, attempts=5):
        env = os.environ.get
        url = (url or env("TROUPE_URL") or "http://127.0.0.1:7070").rstrip("/")
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https", "unix") or not (parts.path if parts.scheme == "unix" else parts.hostname):
            raise ValueError("%r is not the URL of a server; give one such as http://127.0.0.1:7070" % url)
        if parts.username is not None:
            raise ValueError("the server's URL holds a user name or password: give them apart")
        self._url, self._timeout, self._attempts = parts, timeout, max(1, attempts)
        self._headers = {"User-Agent": "troupe-python", "Accept": "application/json"}
        if user is None and token is None:
            token, user, password = env("TROUPE_TOKEN"), env("TROUPE_USER"), password or env("TROUPE_PASSWORD")
        if token:
            self._headers["Authorization"] = "Bearer " + token
        elif user:
            pair = ("%s:%s" % (user, password or "")).encode()
            self._headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
        self._tls = None
        if parts.scheme == "https":
            self._tls = ssl.create_default_context(cafile=ca or env("TROUPE_CACERT") or None)
        self.services = Services(self)
        self.machines = Machines(self)
        self.metrics = Metrics(self)

    def status(self):
        """Returns how the server is."""
        return self._call("GET", ("status",))

    def me(self):
        """Returns who the caller is."""
        return self._call("GET", ("me",))

    def watch(self, service=None, after=0, timeout=None):
        """Yields changes of services as they are committed, until timeout (seconds) has passed.

        It connects again by itself and goes on where it was. A change with "reset" says that changes were
        missed, or that the watch begins: read everything then. The watch of one service ends after the
        change with "removed".
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        begun, seen, pause = False, set(), _Pause()
        while deadline is None or time.monotonic() < deadline:
            try:
                for name, change in self._events(("watch",), {"service": service}, after, deadline):
                    pause.reset()
                    if name == "open":
                        after = after or change["revision"]
                        if not begun:
                            begun = True
                            yield {"revision": change["revision"], "reset": True}
                        continue
                    if change["revision"] != after:
                        after, seen = change["revision"], set()
                    elif change.get("service") in seen and not change.get("reset"):
                        continue  # told before the connection broke
                    seen.add(change.get("service"))
                    yield change
                    if service is not None and change.get("removed"):
                        return
            except Problem as problem:
                if problem.status not in (429, 502, 503, 504):
                    raise
            except Unreachable:
                pass
            pause.sleep(deadline)

    # How calls are made.

    def _connect(self, timeout):
        if self._url.scheme == "unix":
            return _SocketConnection(self._url.path, timeout)
        if self._tls:
            return http.client.HTTPSConnection(self._url.hostname, self._url.port, timeout=timeout, context=self._tls)
        return http.client.HTTPConnection(self._url.hostname, self._url.port, timeout=timeout)

    def _open(self, method, path, query, body, headers, timeout):
        """Makes a call once and returns its connection and its good answer."""
        base = "" if self._url.scheme == "unix" else self._url.path
        target = base + "/v1/" + "/".join(urllib.parse.quote(str(p), safe="") for p in path)
        query = [(k, v) for k, v in (query or {}).items() if v not in (None, "", False)]
        if query:
            target += "?" + urllib.parse.urlencode([(k, "true" if v is True else v) for k, v in query], doseq=True)
        connection = self._connect(timeout)
        try:
            connection.request(method, target, body, {**self._headers, **headers})
            answer = connection.getresponse()
            if answer.status // 100 != 2:
                raise _problem(answer)
        except (OSError, http.client.HTTPException) as e:
            connection.close()
            unheard = isinstance(e, (ConnectionRefusedError, FileNotFoundError, socket.gaierror))
            error = Unreachable("%s %s: %s" % (method, target, e or type(e).__name__))
            error.unheard = unheard
            raise error from e
        except Problem:
            connection.close()
            raise
        return connection, answer

    def _call(self, method, path, query=None, body=None, key=None, match=None, raw=False, content=None, once=False):
        """Makes a call, again if that helps, and returns its answer."""
        headers = {}
        if key:
            headers["Idempotency-Key"] = key
        if match:
            headers["If-Match"] = '"%s"' % match
        if content is None and body is not None:
            body, content = json.dumps(body), "application/json"
        if content:
            headers["Content-Type"] = content
        if isinstance(body, str):
            body = body.encode()
        pause = _Pause()
        for attempt in range(1, self._attempts + 1):
            try:
                connection, answer = self._open(method, path, query, body, headers, self._timeout)
                try:
                    text = answer.read()
                finally:
                    connection.close()
                if raw:
                    return text.decode("utf-8", "replace")
                return json.loads(text) if text else None
            except Problem as problem:
                busy = problem.status == 429 or not once and (
                    problem.status in (502, 504) or problem.status == 503 and problem.retry_after is not None)
                if not busy or attempt == self._attempts:
                    raise
                pause.sleep(None, problem.retry_after)
            except Unreachable as error:
                if once and not error.unheard or attempt == self._attempts:
                    raise
                pause.sleep(None)
            except (OSError, http.client.HTTPException) as e:
                if once or attempt == self._attempts:
                    raise Unreachable("%s: the answer broke off: %s" % (method, e)) from e
                pause.sleep(None)

    def _order(self, path, body=None, method="POST", query=None, match=None):
        """Gives a command and returns the revision of the store that holds it."""
        return self._call(method, path, query, body, key=secrets.token_hex(16), match=match)["revision"]

    def _pages(self, path, query):
        cursor = None
        while True:
            page = self._call("GET", path, {**query, "cursor": cursor})
            yield from page.get("items") or ()
            cursor = page.get("next")
            if not cursor:
                return

    def _events(self, path, query, after, deadline):
        """Yields the server-sent events of one connection as (name, data)."""
        headers = {"Accept": "text/event-stream"}
        if after:
            headers["Last-Event-Id"] = str(after)
        connection, answer = self._open("GET", path, query, None, headers, _left(deadline))
        try:
            name, data = "", []
            while True:
                line = answer.readline()
                if not line:
                    return
                field, _, value = line.decode("utf-8").rstrip("\r\n").partition(":")
                value = value[1:] if value.startswith(" ") else value
                if field == "event":
                    name = value
                elif field == "data":
                    data.append(value)
                elif not field and not value and data:
                    yield name, json.loads("\n".join(data))
                    name, data = "", []
                if connection.sock:
                    connection.sock.settimeout(_left(deadline))
        except (OSError, http.client.HTTPException):
            return  # silent for too long, or the server went away
        finally:
            connection.close()


class Services:
    """The calls about services."""

    def __init__(self, client):
        self._c = client

    def create(self, source=None, spec=None, format=None, template=None, name=None, inputs=None, files=None, file=None,
               permissions=None, key=None, **more):
        """Makes a service from a document (source, a text in format; or spec, a dictionary) or a stored template.

        It returns when the service is stored, not when it runs; see wait_for.
        """
        return self._c._call("POST", ("services",), body=_document(
            source, spec, format, files, file, template=template, name=name, inputs=inputs, permissions=permissions, **more),
            key=key or secrets.token_hex(16))

    def plan_create(self, source=None, spec=None, format=None, template=None, name=None, inputs=None, files=None, file=None, **more):
        """Returns what create would do."""
        return self._c._call("POST", ("services",), {"plan": True}, _document(
            source, spec, format, files, file, template=template, name=name, inputs=inputs, **more))

    def get(self, service):
        """Returns a service."""
        return self._c._call("GET", ("services", service))

    def list(self, state=None, project=None, name=None, text=None, labels=None, alias=None):
        """Yields services, in the order of their numbers."""
        return self._c._pages(("services",), {"state": state, "project": project, "name": name, "text": text, "alias": alias,
                                              "label": ["%s=%s" % pair for pair in sorted((labels or {}).items())] or None})

    def scale(self, service, role, cardinality=None, force=False, remove=None):
        """Wishes another cardinality: a number, or a change such as "+2", "-1", "+50%"; or the end of chosen instances.

        remove lists those, each by its number, name, uuid, machine or any of its addresses.
        """
        wish = {"role": role, "force": force}
        if remove is not None:
            wish["remove"] = [str(one) for one in remove]
        if cardinality is not None:
            wish["cardinality"] = str(cardinality)
        return self._c._order(("services", service, "scale"), wish)

    def attach(self, service, once=False, deadline=None, at_a_time=0):
        """Has a service managed that is unmanaged: for good, or for one pass of so many seconds at most."""
        wish = {"once": once, "at_a_time": at_a_time}
        if deadline is not None:
            wish["deadline"] = "%gs" % deadline
        return self._c._order(("services", service, "attach"), wish)

    def detach(self, service):
        """Leaves a service alone: its machines stay, wishes wait, and only removal is carried out."""
        return self._c._order(("services", service, "detach"))

    def wait_for_pass(self, service, timeout=None):
        """Waits until no pass of a service is under way, and returns the service as it is then.

        TimeoutError when timeout (seconds) has passed.
        """
        found = self.get(service)
        if found.get("mode") != "pass":
            return found
        for _ in self._c.watch(found["id"], timeout=timeout):
            now = self.get(found["id"])
            if now.get("mode") != "pass":
                return now
        raise TimeoutError("the pass of service %s goes on after %s s" % (found.get("name"), timeout))

    def update(self, service, source=None, spec=None, format=None, inputs=None, files=None, file=None, revision=None, **more):
        """Wishes another description: only the roles that changed roll over."""
        return self._c._order(("services", service, "update"), _document(source, spec, format, files, file, inputs=inputs, **more),
                              match=revision)

    def rollback(self, service, revision=0):
        """Returns to an earlier revision; 0 for the last one before the present that was in place."""
        return self._c._order(("services", service, "rollback"), {"revision": revision})

    def recover(self, service, delete=False):
        """Sets everything that gave up going again, or removes the service whatever its state."""
        return self._c._order(("services", service, "recover"), {"delete": delete})

    def undeploy(self, service, hard=False):
        """Removes the machines and keeps the record of the service for a while."""
        return self._c._order(("services", service, "undeploy"), {"keep": True, "hard": hard})

    def remove(self, service, hard=False, data=False, keep=False, force=False):
        """Removes a service: its machines, and then its record unless that is kept."""
        return self._c._order(("services", service), method="DELETE",
                              query={"hard": hard, "data": data, "keep": keep, "force": force})

    def release(self, service, role=""):
        """Starts what is held: one role, or all."""
        return self._c._order(("services", service, "release"), {"role": role})

    def replace(self, service, serial):
        """Replaces one instance."""
        return self._c._order(("services", service, "instances", serial, "replace"))

    def instances(self, service, role=None, phase=None):
        """Yields the instances of a service, in the order of their serials."""
        return self._c._pages(("services", service, "instances"), {"role": role, "phase": phase})

    def instance(self, service, serial):
        """Returns one instance."""
        return self._c._call("GET", ("services", service, "instances", serial))

    def report(self, service, serial, attributes):
        """Sets attributes of an instance, such as {"READY": "YES"}."""
        self._c._call("PUT", ("services", service, "instances", serial, "attributes"), body=attributes)

    def logs(self, service, serial, tail=None, stderr=False):
        """Returns what an instance printed."""
        return self._c._call("GET", ("services", service, "instances", serial, "logs"), {"tail": tail, "stderr": stderr}, raw=True)

    def events(self, service, last=None):
        """Returns the last events of a service, oldest first."""
        return self._c._call("GET", ("services", service, "events"), {"limit": last}).get("items") or []

    def explain(self, service):
        """Returns why a service is as it is, what it waits for and what comes next."""
        return self._c._call("GET", ("services", service, "explain"))

    def wait_for(self, service, *states, timeout=None):
        """Waits until a service is in one of the states and returns it as it is then.

        A failed state, DONE or WARNING that is none of them is a StateError; a service that is gone is a
        Problem, unless GONE is waited for; TimeoutError when timeout (seconds) has passed.
        """
        found, done = self._reached(service, states)
        if done:
            return found
        ref = found["id"]  # from here on by number: another service may get the name
        for change in self._c.watch(ref, timeout=timeout):
            if not change.get("reset") and change.get("state") == found["state"]:
                continue
            now, done = self._reached(ref, states)
            if done:
                return now if now.get("id") is not None else {**found, "state": GONE}
            found = now
        found, done = self._reached(ref, states)
        if done:
            return found
        raise TimeoutError("service %s is %s after %s s, not %s" % (found.get("name"), found["state"], timeout, " or ".join(states)))

    def _reached(self, service, states):
        try:
            found = self.get(service)
        except Problem as problem:
            if problem.not_found and GONE in states:
                return {"state": GONE}, True
            raise
        state = found["state"]
        if state in states:
            return found, True
        if found.get("leaving") and GONE in states:
            return found, False
        if state.startswith("FAILED_") or state in ("DONE", "WARNING"):
            raise StateError(found, states)
        return found, False


class Machines:
    """The calls about machine definitions."""

    def __init__(self, client):
        self._c = client

    def put(self, source=None, spec=None, format=None, files=None, file=None, permissions=None, revision=None):
        """Stores a definition, or changes it."""
        return self._c._call("PUT", ("machines",), body=_document(source, spec, format, files, file, permissions=permissions), match=revision)

    def get(self, machine):
        """Returns a definition, by number or name."""
        return self._c._call("GET", ("machines", machine))

    def list(self):
        """Yields the definitions in the order of their numbers."""
        return self._c._pages(("machines",), {})

    def remove(self, machine):
        """Removes a definition. Services that were made from it keep theirs."""
        self._c._call("DELETE", ("machines", machine))


class Metrics:
    """The calls about metrics."""

    def __init__(self, client):
        self._c = client

    def push(self, name, value, dimensions=None, at=None):
        """Sends a sample; at is in seconds since 1970, now when None."""
        sample = {"name": name, "value": value, "timestamp": int((time.time() if at is None else at) * 1000)}
        if dimensions:
            sample["dimensions"] = dimensions
        self._c._call("POST", ("metrics",), body=[sample])

    def query(self, query, at=None):
        """Returns what a PromQL query gives at a time, in seconds since 1970; now when None."""
        return self._c._call("GET", ("prometheus", "api", "v1", "query"), {"query": query, "time": at})["data"]


def _document(source, spec, format, files, file, **more):
    body = {"source": source, "spec": spec, "format": format, "files": files, "file": file, **more}
    return {k: v for k, v in body.items() if v is not None}


def _problem(answer):
    text = answer.read(1 << 20)
    try:
        document = json.loads(text)
        if not isinstance(document, dict):
            raise ValueError
    except ValueError:
        document = {"detail": text.decode("utf-8", "replace").strip()[:1000]}
    after = answer.getheader("Retry-After")
    return Problem(answer.status, document, float(after) if after and after.isdigit() else None)


def _left(deadline):
    """Returns how long to wait for the next word of a server, in seconds."""
    return _SILENCE if deadline is None else max(0.001, min(_SILENCE, deadline - time.monotonic()))


class _Pause:
    """Pauses that double from 0.1 s to 5 s, spread at random."""

    def __init__(self):
        self.reset()

    def reset(self):
        self._next = 0.1

    def sleep(self, deadline, least=None):
        pause = max(least or 0, self._next * random.uniform(0.5, 1.5))
        if deadline is not None:
            pause = min(pause, max(0, deadline - time.monotonic()))
        self._next = min(5.0, self._next * 2)
        time.sleep(pause)


class _SocketConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
