package httpapi

// jobRoutes are the rows about jobs.
func jobRoutes() []*Route {
	return []*Route{
		{Methods: "GET", Path: "/v1/jobs", Access: "ns:list-jobs", Blocking: true, Paged: true, Seat: SeatRead, look: jobsList, watch: watchJobs},
		{Methods: "PUT|POST", Path: "/v1/jobs", Access: "ns:submit-job (or register-job); sentinel-override if PolicyOverride; csi-register-plugin if task has csi_plugin; host_volume mount caps for host volumes; csi-mount-volume", Seat: SeatWrite, Body: BodyJob, do: jobRegister},
		{Methods: "PUT|POST", Path: "/v1/jobs/parse", Access: "ns:parse-job or submit-job", Body: BodyJob, do: jobsParse},
		{Methods: "GET|POST", Path: "/v1/jobs/statuses", Access: "ns:read-job", Blocking: true, Paged: true, Seat: SeatRead, look: jobStatuses, watch: watchStatuses},
		{Methods: "GET", Path: "/v1/job/:job_id+", Access: "ns:read-job", Blocking: true, Seat: SeatRead, look: jobRead, watch: watchJob},
		{Methods: "PUT|POST", Path: "/v1/job/:job_id+", Access: "ns:submit-job (or register-job)", Seat: SeatWrite, Body: BodyJob, do: jobRegister},
		{Methods: "DELETE", Path: "/v1/job/:job_id+", Access: "ns:submit-job or purge-job; deregister-job also enough when not purging", Seat: SeatWrite, do: jobStop},
		{Methods: "PUT|POST", Path: "/v1/job/:job_id+/plan", Access: "ns:submit-job or plan-job; sentinel-override with PolicyOverride", Seat: SeatWrite, Body: BodyJob, do: jobPlan},
		{Methods: "PUT|POST", Path: "/v1/job/:job_id+/evaluate", Access: "ns:submit-job or evaluate-job", Seat: SeatWrite, do: jobEvaluate},
		{Methods: "GET", Path: "/v1/job/:job_id+/allocations", Access: "ns:read-job", Blocking: true, Seat: SeatRead, look: jobAllocations, watch: watchAllocs},
		{Methods: "GET", Path: "/v1/job/:job_id+/evaluations", Access: "ns:read-job", Blocking: true, Seat: SeatRead, look: jobEvaluations, watch: watchEvals},
		{Methods: "GET", Path: "/v1/job/:job_id+/deployments", Access: "ns:read-job", Blocking: true, Seat: SeatRead, look: jobDeployments, watch: watchDeployments},
		{Methods: "GET", Path: "/v1/job/:job_id+/deployment", Access: "ns:read-job", Blocking: true, Seat: SeatRead, look: jobDeployment, watch: watchDeployments},
		{Methods: "GET", Unchecked: true, Path: "/v1/job/:job_id+/summary", Access: "ns:read-job", Blocking: true, Seat: SeatRead, look: jobSummary, watch: watchJobs},
		{Methods: "GET", Unchecked: true, Path: "/v1/job/:job_id+/versions", Access: "ns:read-job", Blocking: true, Seat: SeatRead, look: jobVersions, watch: watchJob},
		{Methods: "PUT|POST", Path: "/v1/job/:job_id+/versions/:tag_name/tag", Access: "ns:submit-job or tag-job-version", Seat: SeatWrite, do: jobTag},
		{Methods: "DELETE", Path: "/v1/job/:job_id+/versions/:tag_name/tag", Access: "ns:submit-job or tag-job-version", Seat: SeatWrite, do: jobUntag},
		{Methods: "PUT|POST", Path: "/v1/job/:job_id+/revert", Access: "ns:submit-job or revert-job", Seat: SeatWrite, do: jobRevert},
		{Methods: "PUT|POST", Path: "/v1/job/:job_id+/stable", Access: "ns:submit-job or stable-job", Seat: SeatWrite, do: jobStable},
		{Methods: "PUT|POST", Path: "/v1/job/:job_id+/periodic/force", Access: "ns:dispatch-job or submit-job or force-periodic-job", Missing: missing("forced launches of periodic jobs")},
		{Methods: "PUT|POST", Path: "/v1/job/:job_id+/dispatch", Access: "ns:dispatch-job", Missing: missing("dispatches of parameterized jobs")},
		{Methods: "PUT|POST", Path: "/v1/job/:job_id+/dispatch/payload", Access: "ns:dispatch-job", Missing: missing("dispatches of parameterized jobs")},
		{Methods: "GET", Path: "/v1/job/:job_id+/scale", Access: "ns:read-job or read-job-scaling", Blocking: true, Seat: SeatRead, look: jobScale, watch: watchStatuses},
		{Methods: "PUT|POST", Path: "/v1/job/:job_id+/scale", Access: "ns:scale-job or submit-job; sentinel-override with PolicyOverride", Seat: SeatWrite, do: jobScaleTo},
		{Methods: "GET", Path: "/v1/job/:job_id+/services", Access: "ns:read-job", Blocking: true, Seat: SeatRead, look: jobServices, watch: watchServices},
		{Methods: "GET", Path: "/v1/job/:job_id+/submission", Access: "ns:read-job", Blocking: true, Seat: SeatRead, look: jobSubmission, watch: watchJob},
		{Methods: "GET", Path: "/v1/job/:job_id+/actions", Access: "ns:read-job", Seat: SeatRead, look: jobActions, watch: watchJob},
		{Methods: "GET", Path: "/v1/job/:job_id+/action", Access: "ns:alloc-exec (+alloc-node-exec if driver has no fs isolation)", Kind: KindWebsocket, Missing: missing("streams of job actions")},
		{Methods: "PUT|POST", Path: "/v1/validate/job", Access: "ns:read-job", Seat: SeatServer, Body: BodyJob, do: jobValidate},
	}
}
