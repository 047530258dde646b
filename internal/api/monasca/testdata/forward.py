"""Delivers samples by the libraries that Monasca's agent delivers by, and as it uses them: forward.py AUTH_URL USER PASSWORD PROJECT

A list of measurements with times in milliseconds as floats and value_meta null; first to the caller's project, then, as for
machines that belong to others, for a project that is named.
"""
import sys
import time

from keystoneauth1 import loading
from keystoneauth1 import session
from keystoneclient import discover
from monascaclient import client

auth_url, user, password, project = sys.argv[1:]
plugin = loading.get_plugin_loader("password").load_from_options(
    auth_url=auth_url, username=user, password=password, project_name=project, user_domain_name="Default", project_domain_name="Default")
connection = session.Session(auth=plugin, timeout=30)
keystone = discover.Discover(session=connection, auth_url=auth_url).create_client(auth_url=auth_url, session=connection)
catalogue = connection.auth.get_access(connection).service_catalog
url = catalogue.url_for(service_type="monitoring", interface="public")
monasca = client.Client("2_0", endpoint=url, session=connection, timeout=30)


def measurement(name, value, **dimensions):
    return {"name": name, "dimensions": {"hostname": "web01", **dimensions}, "timestamp": time.time() * 1000, "value": value, "value_meta": None}


monasca.metrics.create(jsonbody=[
    measurement("cpu.user_perc", 12.5), measurement("mem.free_mb", 913), measurement("disk.space_used_perc", 40.1, device="sda1", mount_point="/"),
    {**measurement("http_status", 1, url="http://web01/", service="shop"), "value_meta": {"error": "Connection refused"}},
    measurement("monasca.collection_time_sec", 0.2, service="monitoring", component="monasca-agent"),
])
monasca.metrics.create(jsonbody=[measurement("vm.cpu.utilization_perc", 3)], tenant_id="4711")
print(type(keystone).__module__, url)
