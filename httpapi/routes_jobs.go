package httpapi

import (
	"github.com/steppe-run/steppe/httpapi/door"
	"github.com/steppe-run/steppe/httpapi/work"
)

// jobRoutes are the rows about jobs.
func jobRoutes() []*door.Route {
	return []*door.Route{
		{Methods: "GET", Path: "/v1/jobs", Access: "ns:list-jobs", Blocking: true, Paged: true, Seat: door.SeatRead, Look: work.JobsList, Watch: watchJobs},
		{Methods: "PUT|POST", Path: "/v1/jobs", Access: "ns:submit-job (or register-job); sentinel-override if PolicyOverride; csi-register-plugin if task has csi_plugin; host_volume mount caps for host volumes; csi-mount-volume", Seat: door.SeatWrite, Body: door.BodyJob, Do: work.JobRegister},
		{Methods: "PUT|POST", Path: "/v1/jobs/parse", Access: "ns:parse-job or submit-job", Body: door.BodyJob, Do: work.JobsParse},
		{Methods: "GET|POST", Path: "/v1/jobs/statuses", Access: "ns:read-job", Blocking: true, Paged: true, Seat: door.SeatRead, Look: work.JobStatuses, Watch: watchStatuses},
		{Methods: "GET", Path: "/v1/job/:job_id+", Access: "ns:read-job", Blocking: true, Seat: door.SeatRead, Look: work.JobRead, Watch: watchJob},
		{Methods: "PUT|POST", Path: "/v1/job/:job_id+", Access: "ns:submit-job (or register-job)", Seat: door.SeatWrite, Body: door.BodyJob, Do: work.JobRegister},
		{Methods: "DELETE", Path: "/v1/job/:job_id+", Access: "ns:submit-job or purge-job; deregister-job also enough when not purging", Seat: door.SeatWrite, Do: work.JobStop},
		{Methods: "PUT|POST", Path: "/v1/job/:job_id+/plan", Access: "ns:submit-job or plan-job; sentinel-override with PolicyOverride", Seat: door.SeatWrite, Body: door.BodyJob, Do: work.JobPlan},
		{Methods: "PUT|POST", Path: "/v1/job/:job_id+/evaluate", Access: "ns:submit-job or evaluate-job", Seat: door.SeatWrite, Do: work.JobEvaluate},
		{Methods: "GET", Path: "/v1/job/:job_id+/allocations", Access: "ns:read-job", Blocking: true, Seat: door.SeatRead, Look: work.JobAllocations, Watch: watchAllocs},
		{Methods: "GET", Path: "/v1/job/:job_id+/evaluations", Access: "ns:read-job", Blocking: true, Seat: door.SeatRead, Look: work.JobEvaluations, Watch: watchEvals},
		{Methods: "GET", Path: "/v1/job/:job_id+/deployments", Access: "ns:read-job", Blocking: true, Seat: door.SeatRead, Look: work.JobDeployments, Watch: watchDeployments},
		{Methods: "GET", Path: "/v1/job/:job_id+/deployment", Access: "ns:read-job", Blocking: true, Seat: door.SeatRead, Look: work.JobDeployment, Watch: watchDeployments},
		{Methods: "GET", Unchecked: true, Path: "/v1/job/:job_id+/summary", Access: "ns:read-job", Blocking: true, Seat: door.SeatRead, Look: work.JobSummary, Watch: watchJobs},
		{Methods: "GET", Unchecked: true, Path: "/v1/job/:job_id+/versions", Access: "ns:read-job", Blocking: true, Seat: door.SeatRead, Look: work.JobVersions, Watch: watchJob},
		{Methods: "PUT|POST", Path: "/v1/job/:job_id+/versions/:tag_name/tag", Access: "ns:submit-job or tag-job-version", Seat: door.SeatWrite, Do: work.JobTag},
		{Methods: "DELETE", Path: "/v1/job/:job_id+/versions/:tag_name/tag", Access: "ns:submit-job or tag-job-version", Seat: door.SeatWrite, Do: work.JobUntag},
		{Methods: "PUT|POST", Path: "/v1/job/:job_id+/revert", Access: "ns:submit-job or revert-job", Seat: door.SeatWrite, Do: work.JobRevert},
		{Methods: "PUT|POST", Path: "/v1/job/:job_id+/stable", Access: "ns:submit-job or stable-job", Seat: door.SeatWrite, Do: work.JobStable},
		{Methods: "PUT|POST", Path: "/v1/job/:job_id+/periodic/force", Access: "ns:dispatch-job or submit-job or force-periodic-job", Seat: door.SeatWrite, Do: work.PeriodicForce},
		{Methods: "PUT|POST", Path: "/v1/job/:job_id+/dispatch", Access: "ns:dispatch-job", Seat: door.SeatWrite, Do: work.JobDispatch},
		{Methods: "PUT|POST", Path: "/v1/job/:job_id+/dispatch/payload", Access: "ns:dispatch-job", Seat: door.SeatWrite, Do: work.JobDispatchPayload},
		{Methods: "GET", Path: "/v1/job/:job_id+/scale", Access: "ns:read-job or read-job-scaling", Blocking: true, Seat: door.SeatRead, Look: work.JobScale, Watch: watchStatuses},
		{Methods: "PUT|POST", Path: "/v1/job/:job_id+/scale", Access: "ns:scale-job or submit-job; sentinel-override with PolicyOverride", Seat: door.SeatWrite, Do: work.JobScaleTo},
		{Methods: "GET", Path: "/v1/job/:job_id+/services", Access: "ns:read-job", Blocking: true, Seat: door.SeatRead, Look: work.JobServices, Watch: watchServices},
		{Methods: "GET", Path: "/v1/job/:job_id+/submission", Access: "ns:read-job", Blocking: true, Seat: door.SeatRead, Look: work.JobSubmission, Watch: watchJob},
		{Methods: "GET", Path: "/v1/job/:job_id+/actions", Access: "ns:read-job", Seat: door.SeatRead, Look: work.JobActions, Watch: watchJob},
		{Methods: "GET", Path: "/v1/job/:job_id+/action", Access: "ns:alloc-exec (+alloc-node-exec if driver has no fs isolation)", Kind: door.KindWebsocket, Missing: missing("streams of job actions")},
		{Methods: "PUT|POST", Path: "/v1/validate/job", Access: "ns:read-job", Seat: door.SeatServer, Body: door.BodyJob, Do: work.JobValidate},
	}
}
