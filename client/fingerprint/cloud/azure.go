package cloud

import (
	"context"
	"encoding/json"
	"fmt"
)

// azureAsset is what the chassis of every machine there is tagged with.
const azureAsset = "7783-7084-3265-9085-8269-3286-77"

func isAzure(f firmware) bool { return f.asset == azureAsset }

type azureMachine struct {
	Compute struct {
		Name, Location, VMSize, VMID      string
		ResourceGroupName, VMScaleSetName string
		TagsList                          []struct{ Name, Value string }
	}
	Network struct {
		Interface []struct {
			MACAddress string
			IPv4       struct {
				IPAddress []struct{ PrivateIPAddress, PublicIPAddress string }
			}
		}
	}
}

func lookAzure(ctx context.Context, a *asker, found *Found) error {
	data, err := a.get(ctx, "/metadata/instance?api-version=2021-02-01&format=json")
	if err != nil {
		return err
	}
	var m azureMachine
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("read what it tells: %w", err)
	}
	c := m.Compute
	found.set("platform.azure.location", c.Location)
	found.set("platform.azure.vm-size", c.VMSize)
	found.set("platform.azure.resource-group", c.ResourceGroupName)
	found.set("platform.azure.scale-set", c.VMScaleSetName)
	found.set("unique.platform.azure.name", c.Name)
	found.set("unique.platform.azure.id", c.VMID)
	for _, tag := range c.TagsList {
		found.set(unique("platform.azure.tag.", tag.Name), tag.Value)
	}
	if len(m.Network.Interface) > 0 {
		first := m.Network.Interface[0]
		found.set("unique.platform.azure.mac", first.MACAddress)
		if len(first.IPv4.IPAddress) > 0 {
			found.set("unique.platform.azure.local-ipv4", first.IPv4.IPAddress[0].PrivateIPAddress)
			found.set("unique.platform.azure.public-ipv4", first.IPv4.IPAddress[0].PublicIPAddress)
		}
	}
	if c.VMID != "" {
		found.Links["azure"] = c.VMID
	}
	return nil
}
