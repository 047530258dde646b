package occi

// Identifiers of the infrastructure model.
const (
	InfrastructureScheme = "http://schemas.ogf.org/occi/infrastructure#"

	Compute          TypeID = InfrastructureScheme + "compute"
	Network          TypeID = InfrastructureScheme + "network"
	Storage          TypeID = InfrastructureScheme + "storage"
	NetworkInterface TypeID = InfrastructureScheme + "networkinterface"
	StorageLink      TypeID = InfrastructureScheme + "storagelink"

	OSTemplate         TypeID = InfrastructureScheme + "os_tpl"
	ResourceTemplate   TypeID = InfrastructureScheme + "resource_tpl"
	IPNetwork          TypeID = "http://schemas.ogf.org/occi/infrastructure/network#ipnetwork"
	IPNetworkInterface TypeID = "http://schemas.ogf.org/occi/infrastructure/networkinterface#ipnetworkinterface"
	SSHKey             TypeID = "http://schemas.ogf.org/occi/infrastructure/credentials#ssh_key"
	UserData           TypeID = "http://schemas.ogf.org/occi/infrastructure/compute#user_data"

	computeAction = "http://schemas.ogf.org/occi/infrastructure/compute/action#"
	networkAction = "http://schemas.ogf.org/occi/infrastructure/network/action#"
	storageAction = "http://schemas.ogf.org/occi/infrastructure/storage/action#"

	ComputeStart   TypeID = computeAction + "start"
	ComputeStop    TypeID = computeAction + "stop"
	ComputeRestart TypeID = computeAction + "restart"
	ComputeSuspend TypeID = computeAction + "suspend"
	ComputeSave    TypeID = computeAction + "save"
	NetworkUp      TypeID = networkAction + "up"
	NetworkDown    TypeID = networkAction + "down"
	StorageOnline  TypeID = storageAction + "online"
	StorageOffline TypeID = storageAction + "offline"
)

// Infrastructure returns the kinds, mixins and actions of OCCI's infrastructure, without the kinds of [Core]. Those that
// a service does not have may be left out, or have their Actions and Attributes changed.
func Infrastructure() []Category {
	state := func(name string, states ...string) []AttributeDef {
		return []AttributeDef{
			{Name: name, Immutable: true, Values: states},
			{Name: name + ".message", Immutable: true, Description: "why the state is what it is"},
		}
	}
	return []Category{
		{ID: Compute, Class: Kind, Title: "Compute Resource", Parent: CoreResource, Location: "/compute/",
			Attributes: append([]AttributeDef{
				{Name: "occi.compute.architecture", Values: []string{"x86", "x64"}},
				{Name: "occi.compute.cores", Type: Number},
				{Name: "occi.compute.hostname"},
				{Name: "occi.compute.memory", Type: Number, Description: "GiB"},
				{Name: "occi.compute.speed", Type: Number, Description: "GHz"},
				{Name: "occi.compute.share", Type: Number},
			}, state("occi.compute.state", "active", "inactive", "suspended", "error")...),
			Actions: []TypeID{ComputeStart, ComputeStop, ComputeRestart, ComputeSuspend, ComputeSave}},
		{ID: Network, Class: Kind, Title: "Network Resource", Parent: CoreResource, Location: "/network/",
			Attributes: append([]AttributeDef{{Name: "occi.network.vlan", Type: Number}, {Name: "occi.network.label"}},
				state("occi.network.state", "active", "inactive", "error")...),
			Actions: []TypeID{NetworkUp, NetworkDown}},
		{ID: Storage, Class: Kind, Title: "Storage Resource", Parent: CoreResource, Location: "/storage/",
			Attributes: append([]AttributeDef{{Name: "occi.storage.size", Type: Number, Required: true, Description: "GB"}},
				state("occi.storage.state", "online", "offline", "error")...),
			Actions: []TypeID{StorageOnline, StorageOffline}},
		{ID: NetworkInterface, Class: Kind, Title: "Network Interface", Parent: CoreLink, Location: "/networkinterface/",
			Attributes: append([]AttributeDef{
				{Name: "occi.networkinterface.interface", Immutable: true, Initial: true},
				{Name: "occi.networkinterface.mac"},
			}, state("occi.networkinterface.state", "active", "inactive", "error")...)},
		{ID: StorageLink, Class: Kind, Title: "Storage Link", Parent: CoreLink, Location: "/storagelink/",
			Attributes: append([]AttributeDef{{Name: "occi.storagelink.deviceid"}, {Name: "occi.storagelink.mountpoint"}},
				state("occi.storagelink.state", "active", "inactive", "error")...)},
		{ID: IPNetwork, Class: Mixin, Title: "IP Network", Location: "/mixins/ipnetwork/", Applies: []TypeID{Network},
			Attributes: []AttributeDef{
				{Name: "occi.network.address", Description: "CIDR"}, {Name: "occi.network.gateway"},
				{Name: "occi.network.allocation", Values: []string{"dynamic", "static"}},
			}},
		{ID: IPNetworkInterface, Class: Mixin, Title: "IP Network Interface", Location: "/mixins/ipnetworkinterface/", Applies: []TypeID{NetworkInterface},
			Attributes: []AttributeDef{
				{Name: "occi.networkinterface.address"}, {Name: "occi.networkinterface.gateway"},
				{Name: "occi.networkinterface.allocation", Values: []string{"dynamic", "static"}},
			}},
		{ID: OSTemplate, Class: Mixin, Title: "OS Template", Location: "/mixins/os_tpl/", Applies: []TypeID{Compute}},
		{ID: ResourceTemplate, Class: Mixin, Title: "Resource Template", Location: "/mixins/resource_tpl/", Applies: []TypeID{Compute}},
		{ID: SSHKey, Class: Mixin, Title: "SSH Key", Location: "/mixins/ssh_key/", Applies: []TypeID{Compute},
			Attributes: []AttributeDef{{Name: "occi.credentials.ssh.publickey", Required: true}}},
		{ID: UserData, Class: Mixin, Title: "User Data", Location: "/mixins/user_data/", Applies: []TypeID{Compute},
			Attributes: []AttributeDef{{Name: "occi.compute.userdata", Required: true, Immutable: true, Initial: true, Description: "base64"}}},
		{ID: ComputeStart, Class: Action, Title: "Start"},
		{ID: ComputeStop, Class: Action, Title: "Stop", Attributes: []AttributeDef{{Name: "method", Values: []string{"graceful", "acpioff", "poweroff"}}}},
		{ID: ComputeRestart, Class: Action, Title: "Restart", Attributes: []AttributeDef{{Name: "method", Values: []string{"graceful", "warm", "cold"}}}},
		{ID: ComputeSuspend, Class: Action, Title: "Suspend", Attributes: []AttributeDef{{Name: "method", Values: []string{"hibernate", "suspend"}}}},
		{ID: ComputeSave, Class: Action, Title: "Save", Attributes: []AttributeDef{{Name: "method", Values: []string{"hot", "deferred"}}, {Name: "name"}}},
		{ID: NetworkUp, Class: Action, Title: "Up"},
		{ID: NetworkDown, Class: Action, Title: "Down"},
		{ID: StorageOnline, Class: Action, Title: "Online"},
		{ID: StorageOffline, Class: Action, Title: "Offline"},
	}
}
