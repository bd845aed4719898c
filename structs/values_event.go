package structs

// Topics of the event stream.
const (
	TopicAll        = "*"
	TopicDeployment = "Deployment"
	TopicEvaluation = "Evaluation"
	TopicAllocation = "Allocation"
	TopicJob        = "Job"
	TopicNode       = "Node"
	TopicNodePool   = "NodePool"
	TopicService    = "Service"
	TopicOperator   = "Operator"
	TopicHostVolume = "HostVolume"
	TopicCSIVolume  = "CSIVolume"
	TopicCSIPlugin  = "CSIPlugin"
	TopicVariable   = "Variable"
	TopicACLToken   = "ACLToken"
	TopicACLPolicy  = "ACLPolicy"
	TopicACLRole    = "ACLRole"
	TopicACLAuth    = "ACLAuthMethod"
	TopicACLBinding = "ACLBindingRule"
)

// Types of events of the event stream.
const (
	EventNodeRegistration              = "NodeRegistration"
	EventNodeDeregistration            = "NodeDeregistration"
	EventNodeEligibility               = "NodeEligibility"
	EventNodeDrain                     = "NodeDrain"
	EventNodeEvent                     = "NodeStreamEvent"
	EventNodePoolUpserted              = "NodePoolUpserted"
	EventNodePoolDeleted               = "NodePoolDeleted"
	EventDeploymentUpdate              = "DeploymentStatusUpdate"
	EventDeploymentPromotion           = "DeploymentPromotion"
	EventDeploymentAllocHealth         = "DeploymentAllocHealth"
	EventAllocationCreated             = "AllocationCreated"
	EventAllocationUpdated             = "AllocationUpdated"
	EventAllocationUpdateDesiredStatus = "AllocationUpdateDesiredStatus"
	EventEvaluationUpdated             = "EvaluationUpdated"
	EventJobRegistered                 = "JobRegistered"
	EventJobDeregistered               = "JobDeregistered"
	EventJobBatchDeregistered          = "JobBatchDeregistered"
	EventPlanResult                    = "PlanResult"
	EventServiceRegistration           = "ServiceRegistration"
	EventServiceDeregistration         = "ServiceDeregistration"
)
