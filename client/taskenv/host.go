package taskenv

import "strings"

// HostDenylist are the variables of the agent that tasks never see, unless the
// option env.denylist says otherwise.
const HostDenylist = "CONSUL_TOKEN,CONSUL_HTTP_TOKEN,CONSUL_HTTP_TOKEN_FILE,NOMAD_TOKEN,VAULT_TOKEN," +
	"CONSUL_LICENSE,NOMAD_LICENSE,VAULT_LICENSE,CONSUL_LICENSE_PATH,NOMAD_LICENSE_PATH,VAULT_LICENSE_PATH," +
	"AWS_ACCESS_KEY_ID,AWS_SECRET_ACCESS_KEY,AWS_SESSION_TOKEN,AWS_METADATA_URL," +
	"GOOGLE_APPLICATION_CREDENTIALS,GOOGLE_OAUTH_ACCESS_TOKEN"

// HostVariables turns the agent's environment (NAME=value lines) into what
// tasks without an image may see; denylist is a comma separated list.
func HostVariables(environ []string, denylist string) map[string]string {
	denied := map[string]bool{}
	for _, name := range strings.Split(denylist, ",") {
		denied[strings.ToUpper(strings.TrimSpace(name))] = true
	}
	out := map[string]string{}
	for _, line := range environ {
		name, value, ok := strings.Cut(line, "=")
		if !ok || name == "" || denied[strings.ToUpper(name)] {
			continue
		}
		out[name] = value
	}
	return out
}
