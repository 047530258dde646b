"""Tests of the module against the live server of TROUPE_URL; TROUPE_TEST_SOCKET names its socket."""

import os
import threading
import time
import unittest

import troupe

SHOP = """
name: %s
roles:
  db:  {machine: {driver: sim}, identity: stable}
  web: {machine: {driver: sim}, count: 2..10, needs: db}
"""


class TestClient(unittest.TestCase):
    def setUp(self):
        self.client = troupe.Client()

    def shop(self, name):
        service = self.client.services.create(source=SHOP % name)
        self.addCleanup(self.drop, service["id"])
        return self.client.services.wait_for(service["id"], "RUNNING", timeout=30)

    def drop(self, service):
        try:
            self.client.services.remove(service)
            self.client.services.wait_for(service, troupe.GONE, timeout=30)
        except troupe.Problem as problem:
            if not problem.not_found:
                raise

    def test_life(self):
        services = self.client.services
        plan = services.plan_create(source=SHOP % "life")
        self.assertEqual((plan["total"], plan["state"]), (3, "RUNNING"))
        shop = self.shop("life")
        self.assertEqual(services.get("life")["id"], shop["id"])
        self.assertIn("life", [s["name"] for s in services.list()])
        self.assertEqual([s["name"] for s in services.list(name="life")], ["life"])
        revision = services.scale(shop["id"], "web", "+3")
        self.assertGreater(revision, 0)
        services.wait_for(shop["id"], "RUNNING", timeout=30)
        web = list(services.instances(shop["id"], role="web"))
        self.assertEqual([i["name"] for i in web], ["web-%d" % n for n in range(5)])
        self.assertEqual(services.instance(shop["id"], web[0]["serial"])["name"], "web-0")
        services.report(shop["id"], web[0]["serial"], {"LOAD": "7"})
        services.replace(shop["id"], web[0]["serial"])
        services.update(shop["id"], source=(SHOP % "life").replace("2..10", "3..10"))
        services.wait_for(shop["id"], "RUNNING", timeout=30)
        self.assertTrue(services.events(shop["id"], last=3))
        self.assertIn("state", services.explain(shop["id"]))
        services.remove(shop["id"])
        self.assertEqual(services.wait_for(shop["id"], troupe.GONE, timeout=30)["state"], troupe.GONE)
        with self.assertRaises(troupe.Problem) as caught:
            services.get(shop["id"])
        self.assertTrue(caught.exception.not_found)

    def test_own_rule(self):
        """A program that scales by a rule of its own, from what it sees."""
        shop = self.shop("rule")
        seen, load = [], iter([10, 80, 90, 40])
        for change in self.client.watch(shop["id"], timeout=30):
            now = self.client.services.get(shop["id"])
            web = next(r for r in now["roles"] if r["name"] == "web")
            if now["state"] != "RUNNING" or web["settled"] != web["cardinality"]:
                continue
            seen.append(web["settled"])
            value = next(load, None)
            if value is None:
                break
            wish = web["cardinality"] + (value > 50) - (value < 30)
            if wish == web["cardinality"] or wish < web["min"]:
                wish = web["cardinality"] + 1
            self.client.services.scale(shop["id"], "web", wish)
        self.assertEqual(seen[0], 2)
        self.assertEqual(seen[-1], 6)

    def test_infrastructure(self):
        """What programs did with Occopus' library: store, build, make passes, scale, attach, detach, tear down."""
        services = self.client.services
        self.client.machines.put(source="'node_def:worker': [{resource: {type: sim}}]", format="occopus")
        self.addCleanup(self.client.machines.remove, "worker")
        infra = "user_id: me\ninfra_name: cluster\nnodes: [{name: w, type: worker, scaling: {min: 2, max: 4}}]\n"
        made = services.create(source=infra, format="occopus", alias="cluster-1", managed="build")
        self.addCleanup(self.drop, made["id"])
        built = services.wait_for_pass("cluster-1", timeout=30)
        self.assertEqual((built["mode"], built["state"]), ("unmanaged", "RUNNING"))
        self.assertEqual([s["id"] for s in services.list(alias="cluster-1")], [made["id"]])
        services.scale("cluster-1", "w", "+2")
        self.assertEqual(len(list(services.instances("cluster-1"))), 2)
        services.attach("cluster-1", once=True, deadline=20, at_a_time=1)
        services.wait_for_pass("cluster-1", timeout=30)
        workers = list(services.instances("cluster-1"))
        self.assertEqual(len(workers), 4)
        services.attach("cluster-1")
        services.scale("cluster-1", "w", remove=[workers[1]["addresses"][0]])
        services.wait_for("cluster-1", "RUNNING", timeout=30)
        self.assertNotIn(workers[1]["serial"], [i["serial"] for i in services.instances("cluster-1")])
        services.detach("cluster-1")
        self.assertEqual(services.get("cluster-1")["mode"], "unmanaged")
        services.remove("cluster-1")
        services.wait_for("cluster-1", troupe.GONE, timeout=30)

    def test_repeated_create_counts_once(self):
        first = self.client.services.create(source=SHOP % "once", key="k1")
        self.addCleanup(self.drop, first["id"])
        self.assertEqual(self.client.services.create(source=SHOP % "once", key="k1")["id"], first["id"])

    def test_failure_ends_the_wait(self):
        service = self.client.services.create(source="name: bad\nroles: {a: {heal: manual, restart: never, machine: {driver: sim, options: {exit_code: 3}}}}")
        self.addCleanup(self.drop, service["id"])
        with self.assertRaises(troupe.StateError) as caught:
            self.client.services.wait_for(service["id"], "DONE", timeout=20)
        self.assertIn("bad", str(caught.exception))

    def test_wrong(self):
        with self.assertRaises(troupe.Problem) as caught:
            self.client.services.create(source="name: x\nroles: {a: {cuont: 2}}", file="x.yaml")
        problem = caught.exception
        self.assertTrue(problem.invalid)
        self.assertIn("x.yaml", str(problem))
        self.assertIn("count", str(problem))
        for url in ("here", "ftp://x", "http://u:p@x", "unix://"):
            with self.assertRaises(ValueError):
                troupe.Client(url)
        with self.assertRaises(troupe.Problem) as caught:
            troupe.Client(user="oneadmin", password="wrong").me()
        self.assertTrue(caught.exception.unauthorized)
        with self.assertRaises(troupe.Unreachable):
            troupe.Client("http://127.0.0.1:1", attempts=2).me()

    def test_machines_and_metrics(self):
        made = self.client.machines.put(source="machine: {name: small, driver: sim}")
        self.assertIn("small", [m["name"] for m in self.client.machines.list()])
        self.assertEqual(self.client.machines.get("small")["id"], made["id"])
        self.client.machines.remove("small")
        self.client.metrics.push("python.load", 7.5, {"host": "a"})
        result = self.client.metrics.query('{"python.load"}')["result"]
        self.assertEqual([r["value"][1] for r in result], ["7.5"])

    def test_socket(self):
        local = troupe.Client("unix://" + os.environ["TROUPE_TEST_SOCKET"], user="", token="")
        self.assertEqual(local.me()["user"]["name"], "oneadmin")
        self.assertEqual(local.status()["version"], self.client.status()["version"])

    def test_watch_many(self):
        seen, begun = set(), threading.Event()

        def look():
            for change in self.client.watch(timeout=20):
                if change.get("reset"):
                    begun.set()
                if change.get("removed") and change.get("name") == "seen":
                    seen.add("gone")
                    return
                if change.get("name") == "seen":
                    seen.add(change["state"])

        watcher = threading.Thread(target=look)
        watcher.start()
        self.assertTrue(begun.wait(10))
        shop = self.shop("seen")
        self.drop(shop["id"])
        watcher.join(20)
        self.assertLessEqual({"DEPLOYING", "RUNNING"}, seen)

    def test_watch_ends_in_time(self):
        began = time.monotonic()
        self.assertTrue(next(iter(self.client.watch(timeout=0.5)))["reset"])
        list(self.client.watch(timeout=0.5))
        self.assertLess(time.monotonic() - began, 10)
        with self.assertRaises(troupe.Problem):
            list(self.client.watch("no-such-service"))


if __name__ == "__main__":
    unittest.main()
