// Package alloc keeps allocations as columns, not as objects. What the
// placements of one evaluation share is stored once, in a batch; a row holds
// only what differs: node, name, status, indexes. An allocation's ID isn't
// stored at all, it follows from the batch's seed and the row's number. What
// few allocations have (ports, task states, a reschedule history) hangs off
// the row.
//
// A Table also keeps what its rows use of each node, and lists of rows by
// node, job, evaluation and deployment. Tables are copied on write, so that a
// snapshot costs nothing: Begin gives the next version.
//
// It must not know commands, jobs beyond their pointer, or why a row changes.
// Begin reading at Row (row.go), then Table (table.go) and View (view.go).
package alloc
