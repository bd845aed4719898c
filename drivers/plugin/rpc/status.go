package rpc

import (
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/steppe-run/steppe/drivers"
	pb "github.com/steppe-run/steppe/drivers/plugin/wire/driver"
	"github.com/steppe-run/steppe/drivers/plugin/wire/shared"
	"github.com/steppe-run/steppe/structs"
)

// healths and the tables below pair the contract's words with wire numbers.
var healths = map[pb.FingerprintResponse_HealthState]drivers.Health{
	pb.FingerprintResponse_UNDETECTED: drivers.HealthUndetected,
	pb.FingerprintResponse_UNHEALTHY:  drivers.HealthUnhealthy,
	pb.FingerprintResponse_HEALTHY:    drivers.Healthy,
}

var taskStates = map[pb.TaskState]drivers.TaskState{
	pb.TaskState_UNKNOWN: drivers.TaskUnknown,
	pb.TaskState_RUNNING: drivers.TaskRunning,
	pb.TaskState_EXITED:  drivers.TaskExited,
}

var cpuFields = map[pb.CPUUsage_Fields]string{
	pb.CPUUsage_SYSTEM_MODE:       "System Mode",
	pb.CPUUsage_USER_MODE:         "User Mode",
	pb.CPUUsage_TOTAL_TICKS:       "Total Ticks",
	pb.CPUUsage_THROTTLED_PERIODS: "Throttled Periods",
	pb.CPUUsage_THROTTLED_TIME:    "Throttled Time",
	pb.CPUUsage_PERCENT:           "Percent",
}

var memoryFields = map[pb.MemoryUsage_Fields]string{
	pb.MemoryUsage_RSS:              "RSS",
	pb.MemoryUsage_CACHE:            "Cache",
	pb.MemoryUsage_MAX_USAGE:        "Max Usage",
	pb.MemoryUsage_KERNEL_USAGE:     "Kernel Usage",
	pb.MemoryUsage_KERNEL_MAX_USAGE: "Kernel Max Usage",
	pb.MemoryUsage_USAGE:            "Usage",
	pb.MemoryUsage_SWAP:             "Swap",
}

// keyOf looks a word up in one of the tables; an unknown word gives zero.
func keyOf[K, V comparable](table map[K]V, word V) K {
	for k, v := range table {
		if v == word {
			return k
		}
	}
	var zero K
	return zero
}

func words[K comparable](table map[K]string, keys []K) []string {
	var out []string
	for _, k := range keys {
		if w, ok := table[k]; ok {
			out = append(out, w)
		}
	}
	return out
}

func keys[K comparable](table map[K]string, words []string) []K {
	var out []K
	for _, w := range words {
		for k, v := range table {
			if v == w {
				out = append(out, k)
			}
		}
	}
	return out
}

func fingerprintToWire(f *drivers.Fingerprint) *pb.FingerprintResponse {
	attrs := make(map[string]*shared.Attribute, len(f.Attributes))
	for k, v := range f.Attributes {
		attrs[k] = &shared.Attribute{Value: &shared.Attribute_StringVal{StringVal: v}}
	}
	return &pb.FingerprintResponse{Attributes: attrs, Health: keyOf(healths, f.Health), HealthDescription: f.Description, Err: f.Err}
}

func fingerprintFromWire(f *pb.FingerprintResponse) *drivers.Fingerprint {
	attrs := make(map[string]string, len(f.GetAttributes()))
	for k, v := range f.GetAttributes() {
		attrs[k] = attributeText(v) + v.GetUnit()
	}
	health, ok := healths[f.GetHealth()]
	if !ok {
		health = drivers.HealthUndetected
	}
	return &drivers.Fingerprint{Attributes: attrs, Health: health, Description: f.GetHealthDescription(), Err: f.GetErr()}
}

func attributeText(a *shared.Attribute) string {
	switch v := a.GetValue().(type) {
	case *shared.Attribute_FloatVal:
		return strconv.FormatFloat(v.FloatVal, 'g', -1, 64)
	case *shared.Attribute_IntVal:
		return strconv.FormatInt(v.IntVal, 10)
	case *shared.Attribute_BoolVal:
		return strconv.FormatBool(v.BoolVal)
	}
	return a.GetStringVal()
}

func handleToWire(h *drivers.Handle) *pb.TaskHandle {
	if h == nil {
		return nil
	}
	return &pb.TaskHandle{Version: int32(h.Version), Config: taskToWire(h.Config), State: keyOf(taskStates, h.State), DriverState: h.DriverState}
}

func handleFromWire(h *pb.TaskHandle) *drivers.Handle {
	if h == nil {
		return nil
	}
	return &drivers.Handle{Version: int(h.GetVersion()), Config: taskFromWire(h.GetConfig()), State: taskState(h.GetState()), DriverState: h.GetDriverState()}
}

func taskState(s pb.TaskState) drivers.TaskState {
	if state, ok := taskStates[s]; ok {
		return state
	}
	return drivers.TaskUnknown
}

func exitToWire(r *drivers.ExitResult) *pb.ExitResult {
	if r == nil {
		return nil
	}
	return &pb.ExitResult{ExitCode: int32(r.ExitCode), Signal: int32(r.Signal), OomKilled: r.OOMKilled}
}

func exitFromWire(r *pb.ExitResult) *drivers.ExitResult {
	if r == nil {
		return nil
	}
	return &drivers.ExitResult{ExitCode: int(r.GetExitCode()), Signal: int(r.GetSignal()), OOMKilled: r.GetOomKilled()}
}

func overrideToWire(n *drivers.Network) *pb.NetworkOverride {
	if n == nil {
		return nil
	}
	ports := make(map[string]int32, len(n.PortMap))
	for k, v := range n.PortMap {
		ports[k] = int32(v)
	}
	return &pb.NetworkOverride{PortMap: ports, Addr: n.Addr, AutoAdvertise: n.AutoAdvertise}
}

func overrideFromWire(n *pb.NetworkOverride) *drivers.Network {
	if n == nil {
		return nil
	}
	ports := make(map[string]int, len(n.GetPortMap()))
	for k, v := range n.GetPortMap() {
		ports[k] = int(v)
	}
	return &drivers.Network{PortMap: ports, Addr: n.GetAddr(), AutoAdvertise: n.GetAutoAdvertise()}
}

func statusToWire(s *drivers.TaskStatus) *pb.InspectTaskResponse {
	return &pb.InspectTaskResponse{
		Task: &pb.TaskStatus{
			Id: s.ID, Name: s.Name, State: keyOf(taskStates, s.State), Result: exitToWire(s.Exit),
			StartedAt: timestamppb.New(s.StartedAt), CompletedAt: timestamppb.New(s.CompletedAt),
		},
		Driver:          &pb.TaskDriverStatus{Attributes: s.Attributes},
		NetworkOverride: overrideToWire(s.Network),
	}
}

func statusFromWire(r *pb.InspectTaskResponse) *drivers.TaskStatus {
	t := r.GetTask()
	return &drivers.TaskStatus{
		ID: t.GetId(), Name: t.GetName(), State: taskState(t.GetState()), Exit: exitFromWire(t.GetResult()),
		StartedAt: asTime(t.GetStartedAt()), CompletedAt: asTime(t.GetCompletedAt()),
		Attributes: r.GetDriver().GetAttributes(), Network: overrideFromWire(r.GetNetworkOverride()),
	}
}

// asTime reads a timestamp; the wire's way of saying "never" is year one.
func asTime(ts *timestamppb.Timestamp) time.Time {
	if !ts.IsValid() {
		return time.Time{}
	}
	if t := ts.AsTime(); t.Year() > 1 {
		return t
	}
	return time.Time{}
}

func usageToWire(taskID string, u *structs.TaskResourceUsage) *pb.TaskStats {
	out := &pb.TaskStats{Id: taskID, Timestamp: timestamppb.New(time.Unix(0, u.Timestamp)), AggResourceUsage: resourceUsageToWire(u.ResourceUsage)}
	if len(u.Pids) > 0 {
		out.ResourceUsageByPid = make(map[string]*pb.TaskResourceUsage, len(u.Pids))
	}
	for pid, usage := range u.Pids {
		out.ResourceUsageByPid[pid] = resourceUsageToWire(usage)
	}
	return out
}

func usageFromWire(s *pb.TaskStats) *structs.TaskResourceUsage {
	out := &structs.TaskResourceUsage{Timestamp: s.GetTimestamp().AsTime().UnixNano(), ResourceUsage: resourceUsageFromWire(s.GetAggResourceUsage())}
	if len(s.GetResourceUsageByPid()) > 0 {
		out.Pids = make(map[string]*structs.ResourceUsage, len(s.GetResourceUsageByPid()))
	}
	for pid, usage := range s.GetResourceUsageByPid() {
		out.Pids[pid] = resourceUsageFromWire(usage)
	}
	return out
}

func resourceUsageToWire(u *structs.ResourceUsage) *pb.TaskResourceUsage {
	out := &pb.TaskResourceUsage{Cpu: &pb.CPUUsage{}, Memory: &pb.MemoryUsage{}}
	if u == nil {
		return out
	}
	if c := u.CpuStats; c != nil {
		out.Cpu = &pb.CPUUsage{
			SystemMode: c.SystemMode, UserMode: c.UserMode, TotalTicks: c.TotalTicks, Percent: c.Percent,
			ThrottledPeriods: c.ThrottledPeriods, ThrottledTime: c.ThrottledTime, MeasuredFields: keys(cpuFields, c.Measured),
		}
	}
	if m := u.MemoryStats; m != nil {
		out.Memory = &pb.MemoryUsage{
			Rss: m.RSS, Cache: m.Cache, MaxUsage: m.MaxUsage, KernelUsage: m.KernelUsage, KernelMaxUsage: m.KernelMaxUsage,
			Usage: m.Usage, Swap: m.Swap, MeasuredFields: keys(memoryFields, m.Measured),
		}
	}
	return out
}

func resourceUsageFromWire(u *pb.TaskResourceUsage) *structs.ResourceUsage {
	c, m := u.GetCpu(), u.GetMemory()
	return &structs.ResourceUsage{
		CpuStats: &structs.CpuStats{
			SystemMode: c.GetSystemMode(), UserMode: c.GetUserMode(), TotalTicks: c.GetTotalTicks(), Percent: c.GetPercent(),
			ThrottledPeriods: c.GetThrottledPeriods(), ThrottledTime: c.GetThrottledTime(), Measured: words(cpuFields, c.GetMeasuredFields()),
		},
		MemoryStats: &structs.MemoryStats{
			RSS: m.GetRss(), Cache: m.GetCache(), MaxUsage: m.GetMaxUsage(), KernelUsage: m.GetKernelUsage(), KernelMaxUsage: m.GetKernelMaxUsage(),
			Usage: m.GetUsage(), Swap: m.GetSwap(), Measured: words(memoryFields, m.GetMeasuredFields()),
		},
	}
}
