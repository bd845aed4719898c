package structs

// JobDiff is what changed between two versions of a job.
type JobDiff struct {
	Type       string
	ID         string
	Fields     []*FieldDiff
	Objects    []*ObjectDiff
	TaskGroups []*TaskGroupDiff
}

// TaskGroupDiff is what changed of a group. Updates counts what a plan would
// do to its allocations.
type TaskGroupDiff struct {
	Type    string
	Name    string
	Fields  []*FieldDiff
	Objects []*ObjectDiff
	Tasks   []*TaskDiff
	Updates map[string]uint64
}

// TaskDiff is what changed of a task.
type TaskDiff struct {
	Type        string
	Name        string
	Fields      []*FieldDiff
	Objects     []*ObjectDiff
	Annotations []string

	// change is what the difference means for an allocation; Annotate tells it.
	change Change
}

// ObjectDiff is what changed of a block.
type ObjectDiff struct {
	Type    string
	Name    string
	Fields  []*FieldDiff
	Objects []*ObjectDiff
}

// FieldDiff is what changed of a value, as text.
type FieldDiff struct {
	Type        string
	Name        string
	Old, New    string
	Annotations []string
}
