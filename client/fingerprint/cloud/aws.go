package cloud

import (
	"context"
	"errors"
	"net/http"
	"strings"
)

func isAWS(f firmware) bool {
	return strings.Contains(f.vendor, "Amazon") || strings.Contains(f.bios, "Amazon")
}

// awsFacts are what is asked, and the attributes that it becomes.
var awsFacts = []struct{ path, attribute string }{
	{"ami-id", "platform.aws.ami-id"},
	{"instance-type", "platform.aws.instance-type"},
	{"instance-life-cycle", "platform.aws.instance-life-cycle"},
	{"placement/availability-zone", "platform.aws.placement.availability-zone"},
	{"instance-id", "unique.platform.aws.instance-id"},
	{"hostname", "unique.platform.aws.hostname"},
	{"local-hostname", "unique.platform.aws.local-hostname"},
	{"local-ipv4", "unique.platform.aws.local-ipv4"},
	{"public-hostname", "unique.platform.aws.public-hostname"},
	{"public-ipv4", "unique.platform.aws.public-ipv4"},
	{"ipv6", "unique.platform.aws.public-ipv6"},
	{"mac", "unique.platform.aws.mac"},
}

func lookAWS(ctx context.Context, a *asker, found *Found) error {
	// Newer machines answer only who shows a token; older ones know of none.
	token, err := a.ask(ctx, http.MethodPut, "/latest/api/token", map[string]string{"X-aws-ec2-metadata-token-ttl-seconds": "60"})
	switch {
	case err == nil && len(token) < maxValue:
		a.header["X-aws-ec2-metadata-token"] = string(token)
	case ctx.Err() != nil:
		return err
	}
	for _, fact := range awsFacts {
		value, err := a.get(ctx, "/latest/meta-data/"+fact.path)
		if errors.Is(err, errNotThere) {
			continue
		}
		if err != nil {
			return err
		}
		found.set(fact.attribute, string(value))
	}
	zone, id := found.Attributes["platform.aws.placement.availability-zone"], found.Attributes["unique.platform.aws.instance-id"]
	if id != "" {
		found.Links["aws.ec2"] = zone + "." + id
	}
	return nil
}
