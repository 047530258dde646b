package hot

import "sync"

// kinds are the types that are known.
func kinds() map[string]*kind {
	table.once.Do(func() { table.kinds = allKinds() })
	return table.kinds
}

// table is filled once and never changed.
var table struct {
	once  sync.Once
	kinds map[string]*kind
}

const tags = " tags[] value_specs{} "

// allKinds lists the types, with their properties and attributes.
func allKinds() map[string]*kind {
	out := map[string]*kind{}
	add := func(name string, c class, core, properties, attributes string) *kind {
		k := newKind(name, c, core, properties, attributes)
		out[name] = k
		return k
	}
	networkKinds(add)
	computeKinds(add)
	heatKinds(add)
	return out
}

type adder func(name string, c class, core, properties, attributes string) *kind

func networkKinds(add adder) {
	add("OS::Neutron::Net", asResource, "network", "name admin_state_up shared tenant_id port_security_enabled dhcp_agent_ids[] dns_domain qos_policy availability_zone_hints[]"+tags,
		"name status subnets admin_state_up tenant_id port_security_enabled mtu segments qos_policy_id l2_adjacency shared")
	add("OS::Neutron::ProviderNet", asResource, "network", "name admin_state_up shared network_type physical_network segmentation_id router_external availability_zone_hints[] port_security_enabled dns_domain"+tags,
		"name status subnets segments")
	k := add("OS::Neutron::Subnet", asResource, "subnet", "network network_id cidr name ip_version gateway_ip enable_dhcp dns_nameservers[] allocation_pools[] host_routes[] tenant_id ipv6_ra_mode "+
		"ipv6_address_mode subnetpool prefixlen segment dns_publish_fixed_ip service_types[]"+tags,
		"name network_id tenant_id allocation_pools gateway_ip host_routes ip_version cidr dns_nameservers enable_dhcp network")
	k.attribute = subnetAttribute
	k = add("OS::Neutron::Port", asResource, "port", "network network_id name admin_state_up device_id device_owner fixed_ips[] security_groups[] mac_address allowed_address_pairs[] port_security_enabled "+
		"qos_policy dns_name binding:vnic_type propagate_uplink_status no_fixed_ips replacement_policy value_specs{} tags[]",
		"name network_id fixed_ips mac_address admin_state_up device_id device_owner security_groups status tenant_id allowed_address_pairs subnets port_security_enabled dns_assignment network qos_policy_id")
	k.attribute = portAttribute
	add("OS::Neutron::Router", asResource, "router", "name external_gateway_info{} l3_agent_id l3_agent_ids[] admin_state_up distributed ha availability_zone_hints[]"+tags,
		"name status external_gateway_info admin_state_up tenant_id")
	add("OS::Neutron::RouterInterface", asResource, "router_interface", "router router_id subnet subnet_id port port_id", "")
	add("OS::Neutron::RouterGateway", asResource, "router_gateway", "router_id network network_id", "")
	k = add("OS::Neutron::FloatingIP", asResource, "floating_ip", "floating_network floating_network_id port_id fixed_ip_address floating_ip_address floating_subnet dns_name dns_domain"+tags,
		"floating_ip_address fixed_ip_address port_id router_id tenant_id floating_network_id")
	k.attribute = floatingAttribute
	add("OS::Neutron::FloatingIPAssociation", asResource, "floating_ip_association", "floatingip_id! port_id fixed_ip_address", "")
	k = add("OS::Nova::FloatingIP", asResource, "floating_ip", "pool", "ip pool")
	k.attribute, k.reference = floatingAttribute, nil
	add("OS::Nova::FloatingIPAssociation", asResource, "floating_ip_association", "floating_ip! server_id!", "")
	add("OS::Neutron::SecurityGroup", asResource, "security_group", "name description rules[]"+tags, "name rules")
	add("OS::Neutron::SecurityGroupRule", asResource, "security_group_rule", "security_group! description direction ethertype port_range_min port_range_max protocol remote_group remote_ip_prefix", "")
	add("AWS::EC2::SecurityGroup", asResource, "security_group", "GroupDescription! VpcId SecurityGroupIngress[] SecurityGroupEgress[]", "")
	add("OS::Cinder::Volume", asResource, "volume", "name size image snapshot_id source_volid volume_type description availability_zone metadata{} backup_id read_only scheduler_hints{} multiattach imageRef",
		"name size status availability_zone volume_type metadata_values bootable attachments display_name display_description snapshot_id source_volid created_at encrypted multiattach")
	add("OS::Cinder::VolumeAttachment", asResource, "volume_attachment", "instance_uuid! volume_id! mountpoint", "")
}

func computeKinds(add adder) {
	k := add("OS::Nova::Server", asRole, "", "name image flavor! key_name networks[] security_groups[] user_data* user_data_format user_data_update_policy metadata* availability_zone "+
		"block_device_mapping[] block_device_mapping_v2[] config_drive diskConfig admin_pass personality{} scheduler_hints{} flavor_update_policy image_update_policy reservation_id "+
		"software_config_transport deployment_swift_data{} tags[]",
		"addresses networks first_address name instance_name accessIPv4 accessIPv6 console_urls os_collect_config server_groups tags status id")
	k.attribute = serverAttribute
	k = add("OS::Nova::KeyPair", asResource, "key", "name! public_key save_private_key type user", "name public_key private_key")
	k.attribute = propertyAttribute
	k.reference = func(r *resource) (any, error) { return r.named("name"), nil }
	add("OS::Nova::ServerGroup", asResource, "server_group", "name policies[] rules{}", "name")
	k = add("OS::Nova::Flavor", asNothing, "", "name ram! vcpus! disk flavorid swap rxtx_factor ephemeral extra_specs{} is_public tenants[]", "is_public extra_specs name")
	k.attribute = propertyAttribute
	k.reference = func(r *resource) (any, error) { return r.named("name"), nil }
}

func heatKinds(add adder) {
	k := add("OS::Heat::RandomString", asNothing, "", "length sequence character_classes[] character_sequences[] salt", "value")
	k.attribute = func(r *resource, _ string) (any, error) { return r.randomText() }
	k.reference = func(r *resource) (any, error) { return r.randomText() }
	k = add("OS::Heat::Value", asNothing, "", "value*! type", "value")
	k.attribute = func(r *resource, _ string) (any, error) { return typedValue(r) }
	k = add("OS::Heat::None", asNothing, "", "", "")
	k.properties = nil
	for _, config := range []string{"OS::Heat::SoftwareConfig", "OS::Heat::StructuredConfig"} {
		k = add(config, asNothing, "", "name config* group options{} inputs[] outputs[]", "config")
		k.attribute = func(r *resource, _ string) (any, error) { return r.props["config"], nil }
	}
	k = add("OS::Heat::CloudConfig", asNothing, "", "cloud_config{}", "config")
	k.attribute = func(r *resource, _ string) (any, error) { return r.props["cloud_config"], nil }
	k = add("OS::Heat::MultipartMime", asNothing, "", "parts[] group", "config")
	k.attribute = propertyAttribute
	for _, deployment := range []string{"OS::Heat::SoftwareDeployment", "OS::Heat::StructuredDeployment"} {
		k = add(deployment, asNothing, "", "config server! deployment input_values{} deploy_actions[] actions[] name signal_transport input_key input_values_validate", "deploy_stdout deploy_stderr deploy_status_code")
		k.attribute, k.attributes = deploymentAttribute, nil
	}
	for _, group := range []string{"OS::Heat::SoftwareDeploymentGroup", "OS::Heat::SoftwareDeployments", "OS::Heat::StructuredDeploymentGroup", "OS::Heat::StructuredDeployments"} {
		k = add(group, asNothing, "", "config! servers{}! input_values{} deploy_actions[] actions[] name signal_transport", "deploy_stdouts deploy_stderrs deploy_status_codes")
		k.attribute, k.attributes = func(*resource, string) (any, error) { return map[string]any{}, nil }, nil
	}
	k = add("OS::Heat::WaitConditionHandle", asNothing, "", "signal_transport", "token endpoint curl_cli signal")
	k.attribute = handleAttribute
	k = add("OS::Heat::WaitCondition", asNothing, "", "handle! count timeout!", "data")
	k.attribute = func(*resource, string) (any, error) { return "{}", nil }
	for _, signal := range []string{"OS::Heat::SwiftSignal", "OS::Heat::SwiftSignalHandle", "OS::Heat::UpdateWaitConditionHandle"} {
		k = add(signal, asNothing, "", "", "")
		k.properties, k.ignored = nil, "use OS::Heat::WaitCondition instead"
		k.attribute = func(*resource, string) (any, error) { return "", nil }
	}
	k = add("OS::Heat::ResourceGroup", asGroup, "", "count resource_def{}! index_var removal_policies[] removal_policies_mode", "")
	k.lazy = map[string]bool{"resource_def": true}
	k = add("OS::Heat::AutoScalingGroup", asGroup, "", "resource{}! min_size! max_size! desired_capacity cooldown rolling_updates{}", "")
	k.lazy = map[string]bool{"resource": true}
	k = add(scalingPolicy, asResource, "scaling_policy", "auto_scaling_group_id! adjustment_type! scaling_adjustment! cooldown min_adjustment_step", "alarm_url signal_url")
	k.attribute = policyAttribute
	k = add("OS::Heat::Stack", asStack, "", "template! parameters{} timeout context{}", "stack_name outputs")
	k.lazy = map[string]bool{"template": true}
}
