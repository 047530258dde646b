"""A mechanism driver of Neutron's that binds every port at once: no agents run here, and Nova refuses ports that are not bound."""
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins.ml2 import api


class FakeBind(api.MechanismDriver):
    def initialize(self):
        pass

    @property
    def connectivity(self):
        return portbindings.CONNECTIVITY_L2

    def bind_port(self, context):
        for segment in context.segments_to_bind:
            context.set_binding(segment['id'], 'ovs', {'port_filter': True}, status='ACTIVE')
            return
