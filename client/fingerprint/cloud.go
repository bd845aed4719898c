package fingerprint

import (
	"context"

	"github.com/steppe-run/steppe/client/fingerprint/cloud"
)

func (o Options) cloud() cloud.Options {
	return cloud.Options{Root: o.Root, Base: o.Metadata, Wants: o.Wants}
}

// cloudFacts asks the machine's cloud, where the firmware names one.
func cloudFacts(ctx context.Context, opts Options) (Facts, error) {
	found, err := cloud.Look(ctx, opts.cloud())
	return Facts{Attributes: found.Attributes, Links: found.Links}, err
}

// Cloud asks the machine's cloud alone: one that was silent may answer later.
func Cloud(ctx context.Context, opts Options) (Facts, error) { return cloudFacts(ctx, opts) }

// CloudName names the machine's cloud, such as env_aws; "" if there is none.
func CloudName(opts Options) string { return cloud.Name(opts.cloud()) }
