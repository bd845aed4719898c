// Package failpoint names the instants at which the agent, a driver plugin or a
// supervisor may be killed so that tests can have it killed at just that one.
// Without the build tag `failpoints` nothing of it is in the program.
//
// It must not know what happens at a point. Begin reading at Points.
package failpoint

// Point is one instant: what was done is in the name.
type Point string

// The instants: in the agent's task and allocation runners, in its memory and
// its directories, in the plugin that starts supervisors, and in the supervisor.
const (
	AllocRemembered  Point = "alloc.remembered"   // the allocation is written down, nothing is made
	AllocBuilt       Point = "alloc.built"        // its directory is there, nobody has written that
	AllocPrepared    Point = "alloc.prepared"     // that is written
	AllocConcluded   Point = "alloc.concluded"    // every task is dead, secrets are still mounted
	AllocRemoved     Point = "alloc.removed"      // its directory is gone, it is still remembered
	AllocForgotten   Point = "alloc.forgotten"    // nothing of it is left
	DirMade          Point = "dir.made"           // a task's directories are there, nothing is mounted
	DirMounted       Point = "dir.mounted"        // one of two file systems in memory is mounted
	DirUnmounted     Point = "dir.unmounted"      // they are gone, the files are still there
	MemoryCommit     Point = "memory.commit"      // a batch is about to be written
	MemoryCommitted  Point = "memory.committed"   // it is on disk, nobody was told
	TaskIntended     Point = "task.intended"      // the wish to start is written, the driver knows nothing
	TaskStarted      Point = "task.started"       // the driver has started it, nobody has written that
	TaskNoted        Point = "task.noted"         // that is written, the handle isn't beside the task
	TaskLeft         Point = "task.left"          // it is
	TaskDecided      Point = "task.decided"       // the restart policy has spoken, the old start is cleared away
	TaskBackoff      Point = "task.backoff"       // that is written
	TaskStopIntended Point = "task.stop-intended" // the wish to end it is written
	TaskStopped      Point = "task.stopped"       // it has ended, nobody has written that
	TaskReleased     Point = "task.released"      // it is dead, nobody has written that
	TaskBuried       Point = "task.buried"        // that is written
	PluginStarting   Point = "plugin.starting"    // the supervision directory is there
	PluginForked     Point = "plugin.forked"      // the supervisor runs and wasn't told its task
	PluginTold       Point = "plugin.told"        // it was told, its report isn't read
	PluginReported   Point = "plugin.reported"    // it is read, the agent doesn't know
	PluginStopped    Point = "plugin.stopped"     // the task has ended, its supervision directory is still there
	PluginRemoved    Point = "plugin.removed"     // it is gone, the agent doesn't know
	KeeperCgroup     Point = "keeper.cgroup"      // the task's cgroup is made, the task isn't started
	KeeperForked     Point = "keeper.forked"      // the task runs, nothing is written of it
	KeeperWritten    Point = "keeper.written"     // its state is written, nobody was told
	KeeperEnded      Point = "keeper.ended"       // the task has ended, how isn't written
	KeeperRecorded   Point = "keeper.recorded"    // it is, the cgroup is still there
	KeeperRotated    Point = "keeper.rotated"     // the next log file is there, the oldest isn't removed
)

// Points are all of them.
func Points() []Point {
	return []Point{
		AllocRemembered, AllocBuilt, AllocPrepared, AllocConcluded, AllocRemoved, AllocForgotten,
		DirMade, DirMounted, DirUnmounted, MemoryCommit, MemoryCommitted,
		TaskIntended, TaskStarted, TaskNoted, TaskLeft, TaskDecided, TaskBackoff, TaskStopIntended, TaskStopped, TaskReleased, TaskBuried,
		PluginStarting, PluginForked, PluginTold, PluginReported, PluginStopped, PluginRemoved,
		KeeperCgroup, KeeperForked, KeeperWritten, KeeperEnded, KeeperRecorded, KeeperRotated,
	}
}

// The variables by which a program with the tag is told to die: at which point,
// and the file that it makes when it does, so that it does so once.
const (
	PointEnv = "STEPPE_FAILPOINT"
	MarkEnv  = "STEPPE_FAILPOINT_MARK"
)
