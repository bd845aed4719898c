package httpapi

import (
	"net/http"

	"github.com/steppe-run/steppe/httpapi/cluster"
	"github.com/steppe-run/steppe/httpapi/door"
)

// storageRoutes are the rows about volumes and their plugins.
func storageRoutes() []*door.Route {
	return []*door.Route{
		{Methods: "GET", Path: "/v1/volumes", Access: "host: ns:host-volume-read; csi: ns:csi-list-volume/csi-read-volume/csi-mount-volume", Blocking: true, Paged: true, Seat: door.SeatRead, Look: cluster.VolumesList, Watch: watchNothing},
		{Methods: "PUT|POST", Path: "/v1/volumes", Access: "ns:csi-write-volume and plugin:read", Missing: missing("volumes")},
		{Methods: "GET", Path: "/v1/volumes/external", Access: "ns:csi-list-volume... and plugin:read", Missing: missing("volumes")},
		{Methods: "GET", Path: "/v1/volumes/snapshot", Access: "ns:csi-list-volume...", Missing: missing("volumes")},
		{Methods: "PUT|POST", Path: "/v1/volumes/snapshot", Access: "ns:csi-write-volume and plugin:read", Missing: missing("volumes")},
		{Methods: "DELETE", Path: "/v1/volumes/snapshot", Access: "ns:csi-write-volume and plugin:read", Missing: missing("volumes")},
		{Methods: "GET", Path: "/v1/volume/csi/:volume_id", Access: "ns:csi-read-volume or csi-mount-volume; plugin:read", Blocking: true, Missing: missing("volumes")},
		{Methods: "PUT", Path: "/v1/volume/csi/:volume_id", Access: "ns:csi-write-volume and plugin:read", Missing: missing("volumes")},
		{Methods: "DELETE", Path: "/v1/volume/csi/:volume_id", Access: "ns:csi-write-volume", Missing: missing("volumes")},
		{Methods: "PUT", Path: "/v1/volume/csi/:volume_id/create", Access: "ns:csi-write-volume and plugin:read", Missing: missing("volumes")},
		{Methods: "DELETE", Path: "/v1/volume/csi/:volume_id/delete", Access: "ns:csi-write-volume and plugin:read", Missing: missing("volumes")},
		{Methods: "DELETE", Path: "/v1/volume/csi/:volume_id/detach", Access: "ns:csi-mount-volume and plugin:read", Missing: missing("volumes")},
		{Methods: "GET", Path: "/v1/plugins", Access: "plugin:list or read", Blocking: true, Seat: door.SeatRead, Look: cluster.PluginsList, Watch: watchNothing},
		{Methods: "GET", Path: "/v1/plugin/csi/:plugin_id", Access: "plugin:read; Allocations need ns:read-job", Blocking: true, Missing: missing("storage plugins")},
		{Methods: "PUT|POST", Path: "/v1/volume/host/create", Access: "ns:host-volume-create (sentinel-override with PolicyOverride)", Missing: missing("volumes")},
		{Methods: "PUT|POST", Path: "/v1/volume/host/register", Access: "ns:host-volume-register", Missing: missing("volumes")},
		{Methods: "GET", Path: "/v1/volume/host/:volume_id", Access: "ns:host-volume-read", Blocking: true, Missing: missing("volumes")},
		{Methods: "DELETE", Path: "/v1/volume/host/:volume_id", Access: "ns:host-volume-delete", Missing: missing("volumes")},
		{Methods: "GET", Unchecked: true, Path: "/v1/volumes/claims", Access: "ns:host-volume-read", Blocking: true, Paged: true, Seat: door.SeatRead, Look: cluster.VolumeClaimsList, Watch: watchNothing},
		{Methods: "DELETE", Path: "/v1/volumes/claim/:claim_id", Access: "ns:host-volume-delete", Missing: missing("volumes")},
	}
}

// aclRoutes are the rows about access control.
func aclRoutes() []*door.Route {
	return []*door.Route{
		{Methods: "GET", Path: "/v1/acl/policies", Access: "any token; non-management sees own policies", Blocking: true, Missing: missing("access control lists")},
		{Methods: "GET", Path: "/v1/acl/policy/self", Access: "any token or workload identity", Missing: missing("access control lists")},
		{Methods: "GET", Path: "/v1/acl/policy/:name", Access: "management or holder of the policy", Blocking: true, Missing: missing("access control lists")},
		{Methods: "PUT|POST", Path: "/v1/acl/policy/:name", Access: "management", Missing: missing("access control lists")},
		{Methods: "DELETE", Path: "/v1/acl/policy/:name", Access: "management", Missing: missing("access control lists")},
		{Methods: "PUT|POST", Path: "/v1/acl/bootstrap", Access: "none (one time, or reset index file)", Missing: missing("access control lists")},
		{Methods: "GET", Path: "/v1/acl/tokens", Access: "management", Blocking: true, Paged: true, Missing: missing("access control lists")},
		{Methods: "PUT|POST", Path: "/v1/acl/token", Access: "management", Missing: missing("access control lists")},
		{Methods: "GET", Path: "/v1/acl/token/self", Access: "any valid token", Blocking: true, Missing: missing("access control lists")},
		{Methods: "PUT|POST", Path: "/v1/acl/token/onetime", Access: "any valid token", Missing: missing("access control lists")},
		{Methods: "PUT|POST", Path: "/v1/acl/token/onetime/exchange", Missing: missing("access control lists")},
		{Methods: "GET", Path: "/v1/acl/token/:accessor_id", Access: "management or own token", Blocking: true, Missing: missing("access control lists")},
		{Methods: "PUT|POST", Path: "/v1/acl/token/:accessor_id", Access: "management", Missing: missing("access control lists")},
		{Methods: "DELETE", Path: "/v1/acl/token/:accessor_id", Access: "management", Missing: missing("access control lists")},
		{Methods: "GET", Path: "/v1/acl/roles", Access: "any token; non-management sees own", Blocking: true, Missing: missing("access control lists")},
		{Methods: "PUT|POST", Path: "/v1/acl/role", Access: "management", Missing: missing("access control lists")},
		{Methods: "GET", Path: "/v1/acl/role/:role_id", Access: "management or holder", Blocking: true, Missing: missing("access control lists")},
		{Methods: "PUT|POST", Path: "/v1/acl/role/:role_id", Access: "management", Missing: missing("access control lists")},
		{Methods: "DELETE", Path: "/v1/acl/role/:role_id", Access: "management", Missing: missing("access control lists")},
		{Methods: "GET", Path: "/v1/acl/role/name/:role_name", Access: "management or holder", Blocking: true, Missing: missing("access control lists")},
		{Methods: "GET", Path: "/v1/acl/auth-methods", Access: "none (public list for login UI)", Blocking: true, Missing: missing("access control lists")},
		{Methods: "PUT|POST", Path: "/v1/acl/auth-method", Access: "management", Missing: missing("access control lists")},
		{Methods: "GET", Path: "/v1/acl/auth-method/:name", Access: "management", Blocking: true, Missing: missing("access control lists")},
		{Methods: "PUT|POST", Path: "/v1/acl/auth-method/:name", Access: "management", Missing: missing("access control lists")},
		{Methods: "DELETE", Path: "/v1/acl/auth-method/:name", Access: "management", Missing: missing("access control lists")},
		{Methods: "GET", Path: "/v1/acl/binding-rules", Access: "management", Blocking: true, Missing: missing("access control lists")},
		{Methods: "PUT|POST", Path: "/v1/acl/binding-rule", Access: "management", Missing: missing("access control lists")},
		{Methods: "GET", Path: "/v1/acl/binding-rule/:rule_id", Access: "management", Blocking: true, Missing: missing("access control lists")},
		{Methods: "PUT|POST", Path: "/v1/acl/binding-rule/:rule_id", Access: "management", Missing: missing("access control lists")},
		{Methods: "DELETE", Path: "/v1/acl/binding-rule/:rule_id", Access: "management", Missing: missing("access control lists")},
		{Methods: "PUT|POST", Path: "/v1/acl/oidc/auth-url", Missing: missing("access control lists")},
		{Methods: "PUT|POST", Path: "/v1/acl/oidc/complete-auth", Missing: missing("access control lists")},
		{Methods: "PUT|POST", Path: "/v1/acl/login", Missing: missing("access control lists")},
		{Methods: "PUT|POST", Path: "/v1/acl/identity/client-introduction-token", Access: "node:write", Missing: missing("introductions of clients")},
	}
}

// variableRoutes are the rows about variables and identities.
func variableRoutes() []*door.Route {
	return []*door.Route{
		{Methods: "GET", Path: "/v1/vars", Access: "variables list on path", Blocking: true, Paged: true, Missing: missing("variables")},
		{Methods: "GET", Path: "/v1/var/:path+", Access: "variables read on path", Blocking: true, WrongMethod: http.StatusBadRequest, Missing: missing("variables")},
		{Methods: "PUT|POST", Path: "/v1/var/:path+", Access: "variables write on path", WrongMethod: http.StatusBadRequest, Missing: missing("variables")},
		{Methods: "DELETE", Path: "/v1/var/:path+", Access: "variables destroy on path", WrongMethod: http.StatusBadRequest, Missing: missing("variables")},
		{Methods: "GET", Path: "/.well-known/jwks.json", Blocking: true, Missing: missing("workload identities")},
		{Methods: "GET", Path: "/.well-known/openid-configuration", Missing: missing("workload identities")},
	}
}

// enterpriseRoutes are the rows about the paid edition's features.
func enterpriseRoutes() []*door.Route {
	return []*door.Route{
		{Methods: "GET", Path: "/v1/sentinel/policies", Access: "sentinel-read or management", Blocking: true, Missing: door.EnterpriseOnly},
		{Methods: "GET", Path: "/v1/sentinel/policy/:name", Access: "sentinel-read", Blocking: true, Missing: door.EnterpriseOnly},
		{Methods: "PUT|POST", Path: "/v1/sentinel/policy/:name", Access: "sentinel-submit", Missing: door.EnterpriseOnly},
		{Methods: "DELETE", Path: "/v1/sentinel/policy/:name", Access: "sentinel-delete", Missing: door.EnterpriseOnly},
		{Methods: "GET", Path: "/v1/quotas", Access: "quota:read or any cap in a namespace using it", Blocking: true, Missing: door.EnterpriseOnly},
		{Methods: "GET", Path: "/v1/quota-usages", Access: "quota:read ...", Blocking: true, Missing: door.EnterpriseOnly},
		{Methods: "PUT|POST", Path: "/v1/quota", Access: "quota:write", Missing: door.EnterpriseOnly},
		{Methods: "GET", Path: "/v1/quota/:name", Access: "quota:read ...", Blocking: true, Missing: door.EnterpriseOnly},
		{Methods: "PUT|POST", Path: "/v1/quota/:name", Access: "quota:write", Missing: door.EnterpriseOnly},
		{Methods: "DELETE", Path: "/v1/quota/:name", Access: "quota:write", Missing: door.EnterpriseOnly},
		{Methods: "GET", Path: "/v1/quota/usage/:name", Access: "quota:read ...", Blocking: true, Missing: door.EnterpriseOnly},
		{Methods: "GET", Path: "/v1/recommendations", Access: "ns:read-job or submit-recommendation or submit-job", Blocking: true, Missing: door.EnterpriseOnly},
		{Methods: "PUT|POST", Path: "/v1/recommendation", Access: "ns:submit-recommendation or submit-job", Missing: door.EnterpriseOnly},
		{Methods: "GET", Path: "/v1/recommendation/:id", Access: "ns:read-job", Blocking: true, Missing: door.EnterpriseOnly},
		{Methods: "PUT|POST", Path: "/v1/recommendations/apply", Access: "ns:submit-job (+sentinel-override)", Missing: door.EnterpriseOnly},
	}
}
