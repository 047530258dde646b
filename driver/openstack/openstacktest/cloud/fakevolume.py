"""A driver of Cinder's whose volumes hold nothing: the machines of Nova's fake driver do not read them."""
from cinder.volume import driver


class FakeVolume(driver.VolumeDriver):
    VERSION = '1.0'

    def do_setup(self, context):
        pass

    def check_for_setup_error(self):
        pass

    def _update_volume_stats(self):
        self._stats = {'volume_backend_name': 'fake', 'vendor_name': 'Troupe', 'driver_version': self.VERSION, 'storage_protocol': 'fake',
                       'total_capacity_gb': 1000, 'free_capacity_gb': 1000, 'reserved_percentage': 0, 'multiattach': False}

    def create_volume(self, volume):
        pass

    def create_volume_from_snapshot(self, volume, snapshot):
        pass

    def create_cloned_volume(self, volume, source):
        pass

    def clone_image(self, context, volume, image_location, image_meta, image_service):
        return {}, True

    def delete_volume(self, volume):
        pass

    def create_snapshot(self, snapshot):
        pass

    def delete_snapshot(self, snapshot):
        pass

    def extend_volume(self, volume, size):
        pass

    def ensure_export(self, context, volume):
        pass

    def create_export(self, context, volume, connector):
        pass

    def remove_export(self, context, volume):
        pass

    def initialize_connection(self, volume, connector):
        return {'driver_volume_type': 'fake', 'data': {'volume_id': volume['id']}}

    def terminate_connection(self, volume, connector, **kwargs):
        pass
