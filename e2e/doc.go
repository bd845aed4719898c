// Package e2e tests real agents in processes of their own, with the published
// Go client, real tasks and real faults.
//
// It may know everything, and nothing imports it. Begin reading at
// agent_test.go.
package e2e
