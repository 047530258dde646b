"""Fills the test's cloud by its own APIs. seed.py catalogue FOLDER NAME TYPE URL ... | seed.py things FOLDER COMPUTES

FOLDER/openrc says where Keystone is and who may do everything.
"""
import sys
import time

from keystoneauth1 import session
from keystoneauth1.identity import v3

what, folder = sys.argv[1:3]
rc = dict(line.split()[1].split('=', 1) for line in open(folder + '/openrc'))
base = rc['OS_AUTH_URL']
admin = session.Session(v3.Password(auth_url=base, username='admin', password=rc['OS_PASSWORD'], project_name='admin',
                                    user_domain_id='default', project_domain_id='default'))


def call(method, url, **more):
    answer = admin.request(url, method, raise_exc=False, **more)
    if answer.status_code >= 300:
        raise SystemExit('%s %s: %s %s' % (method, url, answer.status_code, answer.text[:400]))
    return answer.json() if answer.text else {}


def make(kind, **fields):
    return call('POST', '%s/%ss' % (base, kind), json={kind: fields})[kind]['id']


def grant(user, project, *names):
    for name in names:
        call('PUT', '%s/projects/%s/users/%s/roles/%s' % (base, project, user, roles()[name]))


def roles():
    return {r['name']: r['id'] for r in call('GET', base + '/roles')['roles']}


def catalogue(entries):
    for name, kind, url in zip(entries[::3], entries[1::3], entries[2::3]):
        service = make('service', name=name, type=kind)
        for interface in ('public', 'internal', 'admin'):
            make('endpoint', service_id=service, interface=interface, region_id='RegionOne', url=url)
    for role in {'heat_stack_owner', 'heat_stack_user', 'service'} - set(roles()):
        make('role', name=role)
    heat = make('domain', name='heat')
    heats = make('user', name='heat_admin', password=rc['OS_PASSWORD'], domain_id=heat)
    call('PUT', '%s/domains/%s/users/%s/roles/%s' % (base, heat, heats, roles()['admin']))
    token = call('GET', base + '/auth/tokens', headers={'X-Subject-Token': admin.get_token()})['token']
    grant(token['user']['id'], token['project']['id'], 'service')
    # Whoever tests is nobody special: a member of a project.
    shop = make('project', name='shop', domain_id='default')
    user = make('user', name='shopper', password=rc['OS_PASSWORD'], domain_id='default', default_project_id=shop)
    grant(user, shop, 'member', 'heat_stack_owner')
    grant(token['user']['id'], shop, 'admin')


def things(computes):
    nova, image = admin.get_endpoint(service_type='compute'), admin.get_endpoint(service_type='image') + '/v2'
    network = admin.get_endpoint(service_type='network') + '/v2.0'
    tiny = call('POST', image + '/images', json={'name': 'tiny', 'disk_format': 'raw', 'container_format': 'bare', 'visibility': 'public'})['id']
    call('PUT', image + '/images/%s/file' % tiny, data=b'x' * 1024, headers={'Content-Type': 'application/octet-stream'})
    for n, (name, cpus, memory) in enumerate((('m1.tiny', 1, 512), ('m1.small', 1, 2048), ('m1.medium', 2, 4096))):
        call('POST', nova + '/flavors', json={'flavor': {'name': name, 'vcpus': cpus, 'ram': memory, 'disk': 1, 'id': str(n + 1)}})
    nets, subnets = {}, {}
    for name, more, cidr in (('private', {'shared': True}, '10.20.0.0/16'),
                             ('public', {'router:external': True, 'provider:network_type': 'flat', 'provider:physical_network': 'ext'}, '10.30.0.0/16')):
        nets[name] = call('POST', network + '/networks', json={'network': dict(more, name=name)})['network']['id']
        subnets[name] = call('POST', network + '/subnets', json={'subnet': {'network_id': nets[name], 'cidr': cidr, 'ip_version': 4, 'name': name}})['subnet']['id']
    router = call('POST', network + '/routers', json={'router': {'name': 'way', 'external_gateway_info': {'network_id': nets['public']}}})['router']['id']
    call('PUT', network + '/routers/%s/add_router_interface' % router, json={'subnet_id': subnets['private']})
    for _ in range(3000):
        up = [h for h in call('GET', nova + '/os-hypervisors')['hypervisors'] if h['state'] == 'up']
        if len(up) >= computes:
            return
        time.sleep(0.2)
    raise SystemExit('only %d compute hosts are up' % len(up))


if what == 'catalogue':
    catalogue(sys.argv[3:])
else:
    things(int(sys.argv[3]))
