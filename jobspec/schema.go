package jobspec

import (
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/steppe-run/steppe/structs"
)

// words lists, a type a line, the fields whose word in a job file is not their
// name in snake case. "-" is a field that job files don't have, because
// servers set it. After the word: "label" is the block's label (with an empty
// word the label only), "required" must be there, "1..100" are the numbers that
// the rules allow where the field's type can't hold all that one may write.
//
// A new field of a job needs an entry here only if its word differs.
const words = `
Job ID=id,label TaskGroups=group Constraints=constraint Affinities=affinity Spreads=spread ParameterizedJob=parameterized Stop=- ParentID=- Dispatched=- DispatchIdempotencyToken=- Payload=- ConsulNamespace=- VaultNamespace=- NomadTokenID=- Status=- StatusDescription=- Stable=- Version=- SubmitTime=- CreateIndex=- ModifyIndex=- JobModifyIndex=- VersionTag=-
NodePool Name=,label SchedulerConfiguration=scheduler_config CreateIndex=- ModifyIndex=-
JobUIConfig Links=link
PeriodicConfig Spec=cron Specs=crons SpecType=-
Multiregion Regions=region
MultiregionRegion Name=,label
Constraint LTarget=attribute RTarget=value Operand=operator
Affinity LTarget=attribute RTarget=value Operand=operator Weight=weight,-100..100
Spread Attribute=attribute,required SpreadTarget=target Weight=weight,1..100
SpreadTarget Value=,label Percent=percent,0..100
TaskGroup Name=,label Constraints=constraint Affinities=affinity Spreads=spread Tasks=task Volumes=volume RestartPolicy=restart ReschedulePolicy=reschedule Networks=network Services=service
EphemeralDisk SizeMB=size
ScalingPolicy ID=- Namespace=- Target=- CreateIndex=- ModifyIndex=-
VolumeRequest Name=,label
NetworkResource DynamicPorts=port MBits=mbits
Port Label=,label Value=static
Task Name=,label Driver=driver,required Constraints=constraint Affinities=affinity Services=service RestartPolicy=restart LogConfig=logs Artifacts=artifact Templates=template VolumeMounts=volume_mount CSIPluginConfig=csi_plugin ScalingPolicies=scaling Secrets=secret Identity=- Identities=identity Actions=action
TaskLifecycle Hook=hook,required
LogConfig MaxFileSizeMB=max_file_size
TaskArtifact GetterSource=source,required GetterOptions=options GetterHeaders=headers GetterMode=mode GetterInsecure=insecure RelativeDest=destination
Template SourcePath=source DestPath=destination,required EmbeddedTmpl=data LeftDelim=left_delimiter RightDelim=right_delimiter Envvars=env ErrMissingKey=error_on_missing_key
ChangeScript Command=command,required
WaitConfig Min=min,required Max=max,required
VolumeMount Volume=volume,required Destination=destination,required SELinuxLabel=selinux_label
TaskCSIPluginConfig ID=id,required Type=type,required
Secret Name=,label Provider=provider,required Path=path,required
Action Name=,label Command=command,required
WorkloadIdentity Audience=aud
Resources MemoryMB=memory MemoryMaxMB=memory_max DiskMB=disk Networks=network Devices=device NUMA=numa SecretsMB=secrets IOPS=iops
RequestedDevice Name=,label Count=count,1.. Constraints=constraint Affinities=affinity
Service PortLabel=port Checks=check TaskName=task Namespace=-
ServiceCheck PortLabel=port TaskName=task Type=type,required Interval=interval,required Timeout=timeout,required
SidecarTask LogConfig=logs VolumeMounts=volume_mount Identities=identity
ConsulProxy ExposeConfig=-
ConsulExposeConfig Paths=path Path=-
ConsulUpstream DestinationName=destination_name,required
ConsulTransparentProxy ExcludeOutboundCIDRs=exclude_outbound_cidrs ExcludeUIDs=exclude_uids
ConsulGatewayBindAddress Name=,label Address=address,required Port=port,required
ConsulIngressConfigEntry Listeners=listener
ConsulIngressListener Port=port,required Services=service
ConsulIngressService Name=name,required
ConsulTerminatingConfigEntry Services=service
ConsulLinkedService Name=name,required
`

// shape is how a field is written in a job file.
type shape int

const (
	shapeValue    shape = iota // name = value
	shapeBlock                 // name { … }, once
	shapeBlocks                // name { … }, as often as wanted
	shapeBlockMap              // name "label" { … }, by label
	shapeMap                   // name { key = value } or name = { key = value }
	shapeFreeForm              // name { anything }
)

// entry is one attribute or block of a type.
type entry struct {
	word     string
	field    int // index in the struct
	shape    shape
	required bool
	rule     string       // "from 1 to 100", for numbers that the field can't hold
	elem     reflect.Type // of blocks
}

// table is the attributes and blocks of a type.
type table struct {
	entries []*entry
	byWord  map[string]*entry
	label   int // field that takes the block's label, or -1
}

func (t *table) words() []string {
	out := make([]string, 0, len(t.entries))
	for _, e := range t.entries {
		out = append(out, e.word)
	}
	return out
}

// schemas holds the table of each type of a job or a node pool, by type.
var schemas = sync.OnceValue(func() map[reflect.Type]*table {
	exceptions := map[string]map[string]string{}
	for line := range strings.Lines(strings.TrimSpace(words)) {
		parts := strings.Fields(line)
		exceptions[parts[0]] = map[string]string{}
		for _, p := range parts[1:] {
			field, word, _ := strings.Cut(p, "=")
			exceptions[parts[0]][field] = word
		}
	}
	out := map[reflect.Type]*table{}
	addTables(out, reflect.TypeFor[structs.Job](), exceptions)
	addTables(out, reflect.TypeFor[structs.NodePool](), exceptions)
	return out
})

func tableOf(t reflect.Type) *table { return schemas()[t] }

func addTables(out map[reflect.Type]*table, t reflect.Type, exceptions map[string]map[string]string) {
	if out[t] != nil {
		return
	}
	tbl := &table{byWord: map[string]*entry{}, label: -1}
	out[t] = tbl
	for i := range t.NumField() {
		f := t.Field(i)
		word, differs := exceptions[t.Name()][f.Name]
		if !differs {
			word = snakeCase(f.Name)
		}
		if word == "-" {
			continue
		}
		flags := strings.Split(word, ",")
		if slices.Contains(flags[1:], "label") {
			tbl.label = i
		}
		if flags[0] == "" {
			continue
		}
		e := &entry{word: flags[0], field: i, required: slices.Contains(flags[1:], "required"), rule: rangeIn(flags[1:])}
		e.shape, e.elem = shapeOf(f.Type)
		tbl.entries = append(tbl.entries, e)
		tbl.byWord[e.word] = e
		if e.elem != nil {
			addTables(out, e.elem, exceptions)
		}
	}
}

// rangeIn puts the range among the flags of a word, if there is one, into words.
func rangeIn(flags []string) string {
	for _, f := range flags {
		low, high, ok := strings.Cut(f, "..")
		switch {
		case ok && high == "":
			return low + " or more"
		case ok:
			return "from " + low + " to " + high
		}
	}
	return ""
}

// shapeOf says how a field of a type is written, and of blocks their struct.
func shapeOf(t reflect.Type) (shape, reflect.Type) {
	if b := blockType(t); b != nil {
		return shapeBlock, b
	}
	switch t.Kind() {
	case reflect.Slice:
		if b := blockType(t.Elem()); b != nil {
			return shapeBlocks, b
		}
	case reflect.Map:
		if b := blockType(t.Elem()); b != nil {
			return shapeBlockMap, b
		}
		if t.Elem().Kind() == reflect.Interface {
			return shapeFreeForm, nil
		}
		return shapeMap, nil
	}
	return shapeValue, nil
}

func blockType(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.Struct && t != reflect.TypeFor[time.Time]() {
		return t
	}
	return nil
}

// snakeCase turns TLSServerName into tls_server_name.
func snakeCase(name string) string {
	runes := []rune(name)
	var b strings.Builder
	for i, r := range runes {
		upper := unicode.IsUpper(r)
		if upper && i > 0 {
			before := unicode.IsLower(runes[i-1])
			after := i+1 < len(runes) && unicode.IsLower(runes[i+1])
			if before || after {
				b.WriteByte('_')
			}
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
