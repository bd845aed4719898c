package alloc

import (
	"fmt"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/structs"
)

// Image is a batch as it is written to a snapshot of the store.
type Image struct {
	Seed   [16]byte
	First  uint32
	Nodes  []Node
	Shared []SharedImage // the batch's own first, then those of updates in place
	Rows   []RowImage
}

// SharedImage is a Shared in which the job is only named: Job is its place in
// a list that the store keeps.
type SharedImage struct {
	Namespace, JobID, Group, EvalID, DeploymentID string

	Job         int
	Resources   *structs.AllocatedResources
	Metrics     *structs.AllocationMetric
	Ask         structs.Comparable
	CreateIndex uint64
	CreateTime  int64
}

// RowImage is a Row whose pointers are places in the lists of the Image.
type RowImage struct {
	_struct bool `codec:",toarray"` //nolint:unused // read by the codec: rows are written without field names

	Node     int // -1: no allocation
	Shared   int
	Placed   *Placed
	Decided  *Decided
	Reported *ReportImage

	Modify, ServerModify uint64
	ModifyTime           int64
	NameIndex            uint32
	Client, Desired      uint8
	Canary               bool
}

// ReportImage is a Reported as it is written.
type ReportImage struct {
	TaskStates  map[string]*structs.TaskState
	Description string
	Network     *structs.AllocNetworkStatus
	Health      *structs.AllocDeploymentStatus
	Order       uint64 `codec:",omitempty" json:",omitempty"`
}

func (p *Reported) image() *ReportImage {
	if p == nil {
		return nil
	}
	return &ReportImage{TaskStates: p.TaskStates.Map(), Description: p.Description, Network: p.Network, Health: p.Health, Order: p.Order}
}

func (i *ReportImage) load() *Reported {
	if i == nil {
		return nil
	}
	return &Reported{TaskStates: StatesOf(i.TaskStates), Description: i.Description, Network: i.Network, Health: i.Health, Order: i.Order}
}

// Image returns the batch to be written; jobs gives a job its place.
func (b *Batch) Image(jobs func(*structs.Job) int) *Image {
	img := &Image{Seed: b.seed, First: b.first, Rows: make([]RowImage, 0, b.size)}
	nodes, shareds := map[Node]int{}, map[*Shared]int{}
	place := func(s *Shared) int {
		at, ok := shareds[s]
		if !ok {
			at = len(img.Shared)
			shareds[s] = at
			img.Shared = append(img.Shared, s.image(jobs(s.Job)))
		}
		return at
	}
	place(b.shared)
	for i := range uint32(b.size) {
		r := b.row(i)
		if r.Node == nil {
			img.Rows = append(img.Rows, RowImage{Node: -1})
			continue
		}
		node, ok := nodes[*r.Node]
		if !ok {
			node = len(img.Nodes)
			nodes[*r.Node] = node
			img.Nodes = append(img.Nodes, *r.Node)
		}
		img.Rows = append(img.Rows, RowImage{
			Node: node, Shared: place(b.sharedOf(r)),
			Placed: r.Placed, Decided: r.Decided, Reported: r.Reported.image(),
			Modify: r.Modify, ServerModify: r.ServerModify, ModifyTime: r.ModifyTime,
			NameIndex: r.NameIndex, Client: uint8(r.Client), Desired: uint8(r.Desired), Canary: r.Canary,
		})
	}
	return img
}

func (s *Shared) image(job int) SharedImage {
	return SharedImage{
		Namespace: s.Namespace, JobID: s.JobID, Group: s.Group, EvalID: s.EvalID, DeploymentID: s.DeploymentID,
		Job: job, Resources: s.Resources, Metrics: s.Metrics, Ask: s.Ask,
		CreateIndex: s.CreateIndex, CreateTime: s.CreateTime,
	}
}

// Load stores a batch that was read from a snapshot of the store and returns
// its allocations; job returns the job of a place, nil if there is none.
func (t *Table) Load(img *Image, job func(int) *structs.Job) ([]View, error) {
	shareds := make([]*Shared, 0, len(img.Shared))
	for _, s := range img.Shared {
		j := job(s.Job)
		if j == nil {
			return nil, fmt.Errorf("load allocations: job %d is missing", s.Job)
		}
		shareds = append(shareds, &Shared{
			Namespace: s.Namespace, JobID: s.JobID, Group: s.Group, EvalID: s.EvalID, DeploymentID: s.DeploymentID,
			Job: j, Resources: s.Resources, Metrics: s.Metrics, Ask: s.Ask,
			CreateIndex: s.CreateIndex, CreateTime: s.CreateTime,
		})
	}
	if len(shareds) == 0 {
		return nil, fmt.Errorf("load allocations: batch without a record")
	}
	nodes := make([]*Node, 0, len(img.Nodes))
	for _, n := range img.Nodes {
		nodes = append(nodes, t.NodeRef(n.ID, n.Name))
	}
	rows := make([]Row, 0, len(img.Rows))
	for i := range img.Rows {
		row, err := img.Rows[i].load(nodes, shareds)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	views, ok := t.Add(ids.Seed(img.Seed), img.First, shareds[0], rows)
	if !ok {
		return nil, fmt.Errorf("load allocations: batch of %d rows at %d is impossible", len(rows), img.First)
	}
	return views, nil
}

func (i *RowImage) load(nodes []*Node, shareds []*Shared) (Row, error) {
	if i.Node == -1 {
		return Row{}, nil
	}
	if i.Node < 0 || i.Node >= len(nodes) || i.Shared < 0 || i.Shared >= len(shareds) ||
		int(i.Client) >= len(clientNames) || int(i.Desired) >= len(desiredNames) {
		return Row{}, fmt.Errorf("load allocations: row refers to what isn't there")
	}
	row := Row{
		Node: nodes[i.Node], Placed: i.Placed, Decided: i.Decided, Reported: i.Reported.load(),
		Modify: i.Modify, ServerModify: i.ServerModify, ModifyTime: i.ModifyTime,
		NameIndex: i.NameIndex, Client: Client(i.Client), Desired: Desired(i.Desired), Canary: i.Canary,
	}
	if i.Shared > 0 {
		row.Over = shareds[i.Shared]
	}
	return row, nil
}
