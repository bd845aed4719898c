package cloud

import (
	"context"
	"encoding/json"
	"fmt"
)

func isDigitalOcean(f firmware) bool { return f.vendor == "DigitalOcean" }

type droplet struct {
	ID         json.Number `json:"droplet_id"`
	Hostname   string
	Region     string
	Interfaces struct{ Public, Private []dropletInterface }
}

type dropletInterface struct {
	IPv4, IPv6 struct {
		Address string `json:"ip_address"`
	}
	MAC string
}

func lookDigitalOcean(ctx context.Context, a *asker, found *Found) error {
	data, err := a.get(ctx, "/metadata/v1.json")
	if err != nil {
		return err
	}
	var d droplet
	if err := json.Unmarshal(data, &d); err != nil {
		return fmt.Errorf("read what it tells: %w", err)
	}
	found.set("platform.digitalocean.region", d.Region)
	found.set("unique.platform.digitalocean.id", d.ID.String())
	found.set("unique.platform.digitalocean.hostname", d.Hostname)
	if p := d.Interfaces.Public; len(p) > 0 {
		found.set("unique.platform.digitalocean.public-ipv4", p[0].IPv4.Address)
		found.set("unique.platform.digitalocean.public-ipv6", p[0].IPv6.Address)
		found.set("unique.platform.digitalocean.mac", p[0].MAC)
	}
	if p := d.Interfaces.Private; len(p) > 0 {
		found.set("unique.platform.digitalocean.private-ipv4", p[0].IPv4.Address)
	}
	if id := d.ID.String(); id != "" {
		found.Links["digitalocean"] = id
	}
	return nil
}
