package command

import (
	"errors"
	"fmt"

	"github.com/steppe-run/steppe/structs"
)

// Plans are most of the log, so they are written by hand: what the placements
// of a group share once, then a few bytes a placement. A node's ID takes its
// 16 bytes where it occurs first.

const (
	rowCanary = 1 << iota
	rowPorts
	rowDevices
	rowPrevious
	rowReschedule
	rowMetrics
	rowCores
	rowPreempts
)

func encodePlans(head []byte, c *ApplyPlans) ([]byte, error) {
	e := newEncoder(head)
	e.int(c.Now)
	e.count(len(c.Plans))
	for _, p := range c.Plans {
		if p == nil {
			return nil, errors.New("encode plans: a plan is missing")
		}
		e.plan(p)
	}
	e.count(len(c.Evals))
	for _, eval := range c.Evals {
		if eval == nil {
			return nil, errors.New("encode plans: an evaluation is missing")
		}
		e.blob(eval)
	}
	if e.err != nil {
		return nil, fmt.Errorf("encode plans: %w", e.err)
	}
	return e.out, nil
}

func (e *encoder) plan(p *structs.Plan) {
	e.text(p.EvalID)
	e.text(p.Namespace)
	e.text(p.JobID)
	e.int(int64(p.Priority))
	e.uint(p.JobVersion)
	e.count(len(p.Stops))
	for _, s := range p.Stops {
		e.text(s.AllocID)
		e.text(s.DesiredStatus)
		e.text(s.DesiredDescription)
		e.text(s.ClientStatus)
		e.text(s.FollowupEvalID)
		e.text(s.PreemptedBy)
	}
	e.count(len(p.Marks))
	for _, m := range p.Marks {
		e.text(m.AllocID)
		e.text(m.ClientStatus)
		e.text(m.DesiredDescription)
		e.text(m.FollowupEvalID)
	}
	e.count(len(p.InPlace))
	for _, u := range p.InPlace {
		e.text(u.AllocID)
		e.text(u.DeploymentID)
		shared(e, u.Resources)
	}
	object(e, p.Deployment)
	e.count(len(p.DeploymentUpdates))
	for _, u := range p.DeploymentUpdates {
		e.text(u.DeploymentID)
		e.text(u.Status)
		e.text(u.StatusDescription)
	}
	e.count(len(p.Groups))
	for i := range p.Groups {
		e.group(&p.Groups[i])
	}
}

func (e *encoder) group(g *structs.PlacementGroup) {
	e.text(g.TaskGroup)
	e.text(g.DeploymentID)
	shared(e, g.Resources)
	e.metrics(g.Metrics)
	if g.JobVersion == nil {
		e.uint(0)
	} else {
		e.uint(1)
		e.uint(*g.JobVersion)
	}
	e.out = append(e.out, g.Seed[:]...)
	e.uint(uint64(g.FirstRow))
	e.count(len(g.Rows))
	next := int64(0) // name indexes mostly go up by one
	for i := range g.Rows {
		r := &g.Rows[i]
		e.text(r.NodeID)
		e.int(int64(r.NameIndex) - next)
		next = int64(r.NameIndex) + 1
		e.row(r)
	}
}

func (e *encoder) row(r *structs.Placement) {
	var has uint64
	note := func(bit uint64, set bool) {
		if set {
			has |= bit
		}
	}
	note(rowCanary, r.Canary)
	note(rowPorts, len(r.Ports) > 0)
	note(rowDevices, len(r.Devices) > 0)
	note(rowPrevious, r.PreviousAllocation != "")
	note(rowReschedule, r.Reschedule != nil)
	note(rowMetrics, r.Metrics != nil)
	note(rowCores, len(r.Cores) > 0)
	note(rowPreempts, len(r.Preempts) > 0)
	e.uint(has)
	if has&rowPorts != 0 {
		e.count(len(r.Ports))
		for _, p := range r.Ports {
			e.text(p.Label)
			e.int(int64(p.Value))
			e.int(int64(p.To))
			e.text(p.HostIP)
		}
	}
	if has&rowDevices != 0 {
		e.blob(r.Devices)
	}
	if has&rowPrevious != 0 {
		e.text(r.PreviousAllocation)
	}
	if has&rowReschedule != 0 {
		e.blob(r.Reschedule)
	}
	if has&rowMetrics != 0 {
		e.metrics(r.Metrics)
	}
	if has&rowCores != 0 {
		e.blob(r.Cores)
	}
	if has&rowPreempts != 0 {
		e.count(len(r.Preempts))
		for _, id := range r.Preempts {
			e.text(id)
		}
	}
}

func decodePlans(data []byte, c *ApplyPlans) error {
	d := newDecoder(data)
	c.Now = d.int()
	for range d.count(8) {
		c.Plans = append(c.Plans, d.plan())
	}
	for range d.count(2) {
		if eval := readBlob[structs.Evaluation](d); eval != nil {
			c.Evals = append(c.Evals, eval)
		}
	}
	if d.err == nil && len(d.in) > 0 {
		return fmt.Errorf("%d bytes follow", len(d.in))
	}
	return d.err
}

func (d *decoder) plan() *structs.Plan {
	p := &structs.Plan{EvalID: d.text(), Namespace: d.text(), JobID: d.text(), Priority: int(d.int()), JobVersion: d.uint()}
	for range d.count(6) {
		p.Stops = append(p.Stops, structs.AllocStop{
			AllocID: d.text(), DesiredStatus: d.text(), DesiredDescription: d.text(),
			ClientStatus: d.text(), FollowupEvalID: d.text(), PreemptedBy: d.text(),
		})
	}
	for range d.count(4) {
		p.Marks = append(p.Marks, structs.AllocMark{
			AllocID: d.text(), ClientStatus: d.text(), DesiredDescription: d.text(), FollowupEvalID: d.text(),
		})
	}
	for range d.count(3) {
		p.InPlace = append(p.InPlace, structs.AllocInPlace{
			AllocID: d.text(), DeploymentID: d.text(), Resources: readShared[structs.AllocatedResources](d),
		})
	}
	p.Deployment = readObject[structs.Deployment](d)
	for range d.count(3) {
		p.DeploymentUpdates = append(p.DeploymentUpdates, structs.DeploymentStatusUpdate{
			DeploymentID: d.text(), Status: d.text(), StatusDescription: d.text(),
		})
	}
	for range d.count(22) {
		p.Groups = append(p.Groups, d.group())
	}
	return p
}

func (d *decoder) group() structs.PlacementGroup {
	g := structs.PlacementGroup{
		TaskGroup: d.text(), DeploymentID: d.text(),
		Resources: readShared[structs.AllocatedResources](d), Metrics: d.metrics(),
	}
	if d.uint() != 0 {
		version := d.uint()
		g.JobVersion = &version
	}
	copy(g.Seed[:], d.take(16))
	g.FirstRow = d.uint32()
	n := d.count(3)
	if n == 0 {
		return g
	}
	g.Rows = make([]structs.Placement, n)
	next := int64(0)
	for i := range g.Rows {
		r := &g.Rows[i]
		r.NodeID = d.text()
		index := next + d.int()
		if index < 0 || index > 1<<32-1 {
			d.fail(errShort)
			return g
		}
		r.NameIndex = uint32(index)
		next = index + 1
		d.row(r)
	}
	return g
}

func (d *decoder) row(r *structs.Placement) {
	has := d.uint()
	r.Canary = has&rowCanary != 0
	if has&rowPorts != 0 {
		for range d.count(4) {
			r.Ports = append(r.Ports, structs.PortMapping{
				Label: d.text(), Value: int(d.int()), To: int(d.int()), HostIP: d.text(),
			})
		}
	}
	if has&rowDevices != 0 {
		if devices := readBlob[map[string][]*structs.AllocatedDeviceResource](d); devices != nil {
			r.Devices = *devices
		}
	}
	if has&rowPrevious != 0 {
		r.PreviousAllocation = d.text()
	}
	if has&rowReschedule != 0 {
		r.Reschedule = readBlob[structs.RescheduleTracker](d)
	}
	if has&rowMetrics != 0 {
		r.Metrics = d.metrics()
	}
	if has&rowCores != 0 {
		if cores := readBlob[map[string][]uint16](d); cores != nil {
			r.Cores = *cores
		}
	}
	if has&rowPreempts != 0 {
		for range d.count(1) {
			r.Preempts = append(r.Preempts, d.text())
		}
	}
}
