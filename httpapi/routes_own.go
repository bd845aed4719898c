package httpapi

import (
	"github.com/steppe-run/steppe/httpapi/cluster"
	"github.com/steppe-run/steppe/httpapi/door"
	"github.com/steppe-run/steppe/httpapi/work"
)

// ownRoutes are the rows that only Steppe has; docs/steppe-api.schema.json
// describes their answers.
func ownRoutes() []*door.Route {
	return []*door.Route{
		{Methods: "GET", Path: "/v1/steppe/job/:job_id+/why", Access: "ns:read-job and node:read", Seat: door.SeatRead, Do: work.JobWhy},
		{Methods: "GET", Path: "/v1/steppe/allocation/:alloc_id/why", Access: "ns:read-job and node:read", Seat: door.SeatRead, Do: work.AllocWhy},
		{Methods: "GET", Path: "/v1/steppe/allocation/:alloc_id/forward", Access: "ns:alloc-exec (+alloc-node-exec in the host's network)", Kind: door.KindWebsocket, Seat: door.SeatNode, Do: door.NodeAnswers},
		{Methods: "GET", Path: "/v1/steppe/node/:node_id/why-not/:job_id+", Access: "ns:read-job and node:read", Seat: door.SeatRead, Do: work.NodeWhyNot},
		{Methods: "GET", Path: "/v1/steppe/node/:node_id/drain-plan", Access: "ns:read-job and node:read", Seat: door.SeatRead, Do: work.DrainPlan},
		{Methods: "PUT|POST", Path: "/v1/steppe/capacity", Access: "ns:submit-job or plan-job; node:read", Seat: door.SeatRead, Body: door.BodyJob, Do: work.Capacity},
		{Methods: "GET", Path: "/v1/steppe/history", Access: "ns:read-job", Paged: true, Seat: door.SeatRead, Do: work.HistoryRead},
		{Methods: "GET", Path: "/v1/steppe/brake", Access: "node:read", Seat: door.SeatRead, Do: cluster.BrakeRead},
		{Methods: "PUT|POST", Path: "/v1/steppe/brake/release", Access: "node:write", Seat: door.SeatWrite, Do: cluster.BrakeRelease},
		{Methods: "GET", Path: "/v1/steppe/figures", Access: "agent:read", Seat: door.SeatServer, Do: cluster.FiguresRead},
		{Methods: "PUT|POST", Path: "/v1/steppe/figures", Access: "agent:write", Seat: door.SeatServer, Do: cluster.FiguresCollect},
	}
}
