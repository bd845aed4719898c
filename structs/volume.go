package structs

// VolumeRequest is a volume that a group asks for.
type VolumeRequest struct {
	Name           string           `change:"replace"` // required; name used by volume_mount
	Type           string           `change:"replace"` // host csi; required
	Source         string           `change:"replace"` // volume name or id; required; per_alloc appends [index]
	ReadOnly       bool             `change:"replace"`
	Sticky         bool             `change:"replace"` // dynamic host volumes: keep same volume; not with per_alloc
	AccessMode     string           `change:"replace"` // required for csi
	AttachmentMode string           `change:"replace"` // file-system block-device; required for csi
	MountOptions   *CSIMountOptions `change:"replace"` // csi only; not block-device
	PerAlloc       bool             `change:"replace"` // not system/sysbatch; not with canary
}

// VolumeMount mounts a group's volume into a task.
type VolumeMount struct {
	Volume          *string `change:"replace"` // group volume label; required; must exist
	Destination     *string `change:"replace"` // path in task; required
	ReadOnly        *bool   `change:"replace"`
	PropagationMode *string `change:"replace"` // default private; private host-to-task bidirectional
	SELinuxLabel    *string `change:"replace"` // "" z Z
}

// CSIMountOptions are passed to a CSI plugin.
type CSIMountOptions struct {
	FSType     string   `change:"replace"`
	MountFlags []string `change:"replace"` // redacted in API output
}
