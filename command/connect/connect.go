// Package connect turns the flags that every verb shares into a client of an
// agent.
//
// It must not know any verb. Begin reading at Flags.
package connect

import (
	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/term"
)

// Flags are the flags that every verb shares, and then those of the verb.
func Flags(own ...cli.Flag) []cli.Flag {
	shared := []cli.Flag{
		&cli.StringFlag{Name: "address", Usage: "`URL` of the agent (STEPPE_ADDR, NOMAD_ADDR)", Category: "connection"},
		&cli.StringFlag{Name: "region", Usage: "`name` of the region (STEPPE_REGION, NOMAD_REGION)", Category: "connection"},
		&cli.StringFlag{Name: "namespace", Usage: "`name` of the namespace, * for all (STEPPE_NAMESPACE, NOMAD_NAMESPACE)", Category: "connection"},
		&cli.StringFlag{Name: "token", Usage: "`secret` of the caller (STEPPE_TOKEN, NOMAD_TOKEN)", Category: "connection"},
		&cli.StringFlag{Name: "ca-cert", Usage: "`file` of the certificate authority", Category: "connection"},
		&cli.StringFlag{Name: "ca-path", Usage: "`folder` of certificate authorities", Category: "connection"},
		&cli.StringFlag{Name: "client-cert", Usage: "`file` of the caller's certificate", Category: "connection"},
		&cli.StringFlag{Name: "client-key", Usage: "`file` of the caller's key", Category: "connection"},
		&cli.StringFlag{Name: "tls-server-name", Usage: "`name` expected in the agent's certificate", Category: "connection"},
		&cli.BoolFlag{Name: "tls-skip-verify", Aliases: []string{"insecure"}, Usage: "don't verify the agent's certificate", Category: "connection"},
		&cli.BoolFlag{Name: "no-color", Usage: "no colours", Category: "connection"},
		&cli.BoolFlag{Name: "force-color", Usage: "colours also where nobody looks", Category: "connection"},
	}
	return append(own, shared...)
}

const uiFlag = "ui"

// UI is the flag of verbs that can also open the web console. As long as there
// is none, the verb says so and does the rest of its work.
func UI() cli.Flag {
	return &cli.BoolFlag{Name: uiFlag, Usage: "open the web console (there is none yet: only a hint is shown)"}
}

// Client returns a client for the verb's flags over the environment.
func Client(cmd *cli.Command, s term.Streams) (*api.Client, error) {
	cfg := api.FromEnv(s.Getenv)
	for name, into := range map[string]*string{
		"address": &cfg.Address, "region": &cfg.Region, "namespace": &cfg.Namespace, "token": &cfg.Token,
		"ca-cert": &cfg.TLS.CACert, "ca-path": &cfg.TLS.CAPath, "client-cert": &cfg.TLS.ClientCert,
		"client-key": &cfg.TLS.ClientKey, "tls-server-name": &cfg.TLS.ServerName,
	} {
		if cmd.IsSet(name) {
			*into = cmd.String(name)
		}
	}
	if cmd.IsSet("tls-skip-verify") {
		cfg.TLS.Insecure = cmd.Bool("tls-skip-verify")
	}
	return api.New(cfg)
}
