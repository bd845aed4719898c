// Package structs holds the nouns of the field: jobs, groups, tasks, nodes,
// allocations, evaluations, plans, deployments, services. They are values;
// their JSON is the public API's JSON, and the replicated log, the node link,
// the API and the command line all speak these same types.
//
// What belongs to a noun alone lives here too: defaults (Canonicalize),
// validation, copying, the class of a change (the `change` tag, see
// change.go) and the diff that a plan shows. Nothing here reads a clock, a
// disk or a network, and nothing here knows who stores, sends or schedules
// the nouns. Only the standard library, cronexpr and go-version are imported.
//
// Optional fields are pointers, as a client leaves them out. Code that decides
// reads them through the Get accessors (or Value), which return the zero value
// for what is absent; after Canonicalize nothing that matters is absent.
// Values are immutable once they were handed over: Clone before changing one.
//
// Begin reading at Job (job.go), then TaskGroup, Task, Allocation, Evaluation
// and Node.
package structs
