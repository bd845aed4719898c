//go:build linux

package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/steppe-run/steppe/drivers"
)

// taskConfig is a task's `config` block.
type taskConfig struct {
	Image            string              `codec:"image"`
	Command          string              `codec:"command"`
	Args             []string            `codec:"args"`
	Entrypoint       []string            `codec:"entrypoint"`
	Auth             *taskAuth           `codec:"auth"`
	AuthSoftFail     bool                `codec:"auth_soft_fail"`
	ForcePull        bool                `codec:"force_pull"`
	Load             string              `codec:"load"`
	ImagePullTimeout string              `codec:"image_pull_timeout"`
	ContainerExists  int                 `codec:"container_exists_attempts"`
	CapAdd           []string            `codec:"cap_add"`
	CapDrop          []string            `codec:"cap_drop"`
	Privileged       bool                `codec:"privileged"`
	SecurityOpt      []string            `codec:"security_opt"`
	ReadonlyRootfs   bool                `codec:"readonly_rootfs"`
	UsernsMode       string              `codec:"userns_mode"`
	PidMode          string              `codec:"pid_mode"`
	IpcMode          string              `codec:"ipc_mode"`
	UTSMode          string              `codec:"uts_mode"`
	CgroupNS         string              `codec:"cgroupns"`
	Isolation        string              `codec:"isolation"`
	Runtime          string              `codec:"runtime"`
	Init             bool                `codec:"init"`
	Interactive      bool                `codec:"interactive"`
	TTY              bool                `codec:"tty"`
	Hostname         string              `codec:"hostname"`
	ExtraHosts       []string            `codec:"extra_hosts"`
	DNSServers       []string            `codec:"dns_servers"`
	DNSSearch        []string            `codec:"dns_search_domains"`
	DNSOptions       []string            `codec:"dns_options"`
	NetworkMode      string              `codec:"network_mode"`
	NetworkAliases   []string            `codec:"network_aliases"`
	IPv4Address      string              `codec:"ipv4_address"`
	IPv6Address      string              `codec:"ipv6_address"`
	MacAddress       string              `codec:"mac_address"`
	AdvertiseIPv6    bool                `codec:"advertise_ipv6_address"`
	Ports            []string            `codec:"ports"`
	PortMap          []map[string]int    `codec:"port_map"`
	Volumes          []string            `codec:"volumes"`
	VolumeDriver     string              `codec:"volume_driver"`
	Mounts           []mountConfig       `codec:"mounts"`
	Mount            []mountConfig       `codec:"mount"`
	Devices          []device            `codec:"devices"`
	Labels           []map[string]string `codec:"labels"`
	GroupAdd         []string            `codec:"group_add"`
	Healthchecks     *healthchecks       `codec:"healthchecks"`
	Logging          *logging            `codec:"logging"`
	Sysctl           []map[string]string `codec:"sysctl"`
	Ulimit           []map[string]string `codec:"ulimit"`
	StorageOpt       []map[string]string `codec:"storage_opt"`
	ShmSize          int64               `codec:"shm_size"`
	PidsLimit        int64               `codec:"pids_limit"`
	MemoryHardLimit  int64               `codec:"memory_hard_limit"`
	CPUHardLimit     bool                `codec:"cpu_hard_limit"`
	CPUCFSPeriod     int64               `codec:"cpu_cfs_period"`
	CpusetCPUs       string              `codec:"cpuset_cpus"`
	OOMScoreAdj      int                 `codec:"oom_score_adj"`
	WorkDir          string              `codec:"work_dir"`
	// sources holds what the container is shown until it runs.
	sources *sources
}

type taskAuth struct {
	Username      string `codec:"username"`
	Password      string `codec:"password"`
	Email         string `codec:"email"`
	ServerAddress string `codec:"server_address"`
}

type mountConfig struct {
	Type          string         `codec:"type"`
	Target        string         `codec:"target"`
	Source        string         `codec:"source"`
	ReadOnly      bool           `codec:"readonly"`
	BindOptions   *bindOptions   `codec:"bind_options"`
	TmpfsOptions  *tmpfsOptions  `codec:"tmpfs_options"`
	VolumeOptions *volumeOptions `codec:"volume_options"`
}

type bindOptions struct {
	Propagation string `codec:"propagation"`
}

type tmpfsOptions struct {
	Size int64 `codec:"size"`
	Mode int   `codec:"mode"`
}

type volumeOptions struct {
	NoCopy       bool                `codec:"no_copy"`
	Labels       []map[string]string `codec:"labels"`
	DriverConfig *struct {
		Name    string              `codec:"name"`
		Options []map[string]string `codec:"options"`
	} `codec:"driver_config"`
}

type device struct {
	HostPath          string `codec:"host_path"`
	ContainerPath     string `codec:"container_path"`
	CgroupPermissions string `codec:"cgroup_permissions"`
}

type healthchecks struct {
	Disable bool `codec:"disable"`
}

func taskSchema() *drivers.Spec {
	fields := drivers.Fields{
		"image": drivers.Required("image", "string"), "cpu_cfs_period": drivers.Default(number("cpu_cfs_period"), "100000"),
		"auth": drivers.Block("auth", drivers.Object(drivers.Fields{
			"username": text("username"), "password": text("password"), "email": text("email"), "server_address": text("server_address"),
		})),
		"logging": drivers.Block("logging", drivers.Object(drivers.Fields{"type": text("type"), "driver": text("driver"), "config": dict("config")})),
		"devices": drivers.BlockList("devices", drivers.Object(drivers.Fields{
			"host_path": text("host_path"), "container_path": text("container_path"), "cgroup_permissions": text("cgroup_permissions"),
		})),
		"healthchecks": drivers.Block("healthchecks", drivers.Object(drivers.Fields{"disable": flag("disable")})),
		"mount":        drivers.BlockList("mount", mountSchema()), "mounts": drivers.BlockList("mounts", mountSchema()),
		"port_map": drivers.Attr("port_map", "list(map(number))"),
	}
	for kind, names := range map[string]string{
		"string": `command load image_pull_timeout userns_mode pid_mode ipc_mode uts_mode cgroupns isolation runtime hostname network_mode
			ipv4_address ipv6_address mac_address volume_driver cpuset_cpus work_dir`,
		"bool":   `auth_soft_fail force_pull privileged readonly_rootfs init interactive tty advertise_ipv6_address cpu_hard_limit`,
		"number": `container_exists_attempts shm_size pids_limit memory_hard_limit oom_score_adj`,
		"list(string)": `args entrypoint cap_add cap_drop security_opt extra_hosts dns_servers dns_search_domains dns_options
			network_aliases ports volumes group_add`,
		"list(map(string))": `labels sysctl ulimit storage_opt`,
	} {
		for _, name := range strings.Fields(names) {
			fields[name] = drivers.Attr(name, kind)
		}
	}
	return drivers.Object(fields)
}

func mountSchema() *drivers.Spec {
	return drivers.Object(drivers.Fields{
		"type": textOr("type", "volume"), "target": text("target"), "source": text("source"), "readonly": flag("readonly"),
		"bind_options":  drivers.Block("bind_options", drivers.Object(drivers.Fields{"propagation": text("propagation")})),
		"tmpfs_options": drivers.Block("tmpfs_options", drivers.Object(drivers.Fields{"size": number("size"), "mode": number("mode")})),
		"volume_options": drivers.Block("volume_options", drivers.Object(drivers.Fields{
			"no_copy": flag("no_copy"), "labels": dict("labels"),
			"driver_config": drivers.Block("driver_config", drivers.Object(drivers.Fields{"name": text("name"), "options": dict("options")})),
		})),
	})
}

// Schema implements drivers.Describer.
func (d *Driver) Schema(context.Context) (*drivers.Schema, error) {
	return &drivers.Schema{Plugin: pluginSchema(), Task: taskSchema()}, nil
}

func decodeTask(t *drivers.TaskConfig) (*taskConfig, error) {
	c := &taskConfig{sources: &sources{}}
	if err := drivers.DecodeConfig(t.Config, c); err != nil {
		return nil, err
	}
	c.Image = strings.TrimPrefix(strings.TrimPrefix(c.Image, "https://"), "http://")
	if c.Image == "" {
		return nil, errors.New("image is empty: name the image to run")
	}
	if c.OOMScoreAdj < 0 || c.OOMScoreAdj > 1000 {
		return nil, fmt.Errorf("oom_score_adj %d must be between 0 and 1000", c.OOMScoreAdj)
	}
	return c, nil
}

// merge makes one map of the several that a block may come as.
func merge(maps []map[string]string) map[string]string {
	if len(maps) == 0 {
		return nil
	}
	out := map[string]string{}
	for _, m := range maps {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}
