package members

import (
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"

	"github.com/steppe-run/steppe/internal/logx"
)

// The tags that servers tell each other.
const (
	tagRole     = "role"
	tagRegion   = "region"
	tagDC       = "dc"
	tagID       = "id"
	tagRPC      = "rpc_addr"
	tagHTTP     = "http_addr"
	tagPort     = "port"
	tagBuild    = "build"
	tagExpect   = "expect"
	tagState    = "state"
	tagFeatures = "features"
	tagSees     = "sees"
	tagRaft     = "raft_vsn"

	role = "steppe"
)

func (c Config) tags() map[string]string {
	_, port, _ := net.SplitHostPort(c.RPCAddr) // shown only; empty does no harm
	tags := map[string]string{
		tagRole: role, tagRegion: c.Region, tagDC: c.Datacenter, tagID: c.ID, tagBuild: c.Version,
		tagRPC: c.RPCAddr, tagHTTP: c.HTTPAddr, tagPort: port, tagRaft: "3",
		tagExpect: strconv.Itoa(c.BootstrapExpect), tagFeatures: strconv.Itoa(c.FeatureLevel), tagState: "0",
	}
	if c.HasState {
		tags[tagState] = "1"
	}
	return tags
}

// serfConfig chooses how gossip works: quick on loopback, where nothing gets
// lost, and as the library advises elsewhere.
func (m *Members) serfConfig() (*serf.Config, error) {
	c := m.cfg
	list := memberlist.DefaultLANConfig()
	if ip := net.ParseIP(c.BindAddr); ip != nil && ip.IsLoopback() {
		list = memberlist.DefaultLocalConfig()
	}
	// With few servers nobody may be left to confirm a suspicion.
	list.SuspicionMaxTimeoutMult = 2
	logger := log.New(gossipLog{m.log}, "", 0)
	list.BindAddr, list.BindPort = c.BindAddr, c.BindPort
	list.AdvertiseAddr, list.AdvertisePort = c.AdvertiseAddr, c.AdvertisePort
	list.SecretKey = c.EncryptKey
	list.Logger = logger
	list.LogOutput = nil
	if list.AdvertisePort == 0 {
		list.AdvertisePort = c.BindPort
	}
	conf := serf.DefaultConfig()
	conf.NodeName = c.Name + "." + c.Region
	conf.Tags = maps.Clone(m.tags)
	conf.EventCh = m.events
	conf.MemberlistConfig = list
	conf.Logger = logger
	conf.LogOutput = io.Discard
	conf.DisableCoordinates = true
	conf.ReconnectInterval = 5 * time.Second
	conf.ReconnectTimeout = 72 * time.Hour
	conf.Merge = sameRegion{c.Region}
	if c.DataDir == "" {
		return conf, nil
	}
	dir := filepath.Join(c.DataDir, "serf")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of known servers: %w", err)
	}
	conf.SnapshotPath = filepath.Join(dir, "known")
	return conf, nil
}

// portFree says whether gossip can bind its port. The library forgets to stop
// some of what it has started when it finds out itself.
func portFree(host string, port int) error {
	addr := net.JoinHostPort(host, strconv.Itoa(port))
	stream, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("bind gossip: %w", err)
	}
	packets, err := net.ListenPacket("udp", addr)
	if err != nil {
		return errors.Join(fmt.Errorf("bind gossip: %w", err), stream.Close())
	}
	return errors.Join(packets.Close(), stream.Close())
}

// setTag changes what this server tells the others. If they can't be told at
// once they learn it from the next exchange of gossip.
func (m *Members) setTag(key, value string) {
	m.mu.Lock()
	if m.tags[key] == value {
		m.mu.Unlock()
		return
	}
	m.tags[key] = value
	tags := maps.Clone(m.tags)
	m.mu.Unlock()
	if err := m.serf.SetTags(tags); err != nil {
		m.log.Debug("the other servers were not told at once", "tag", key, logx.KeyError, err)
	}
}

// memberOf reads a member; false if it is no server of ours.
func memberOf(s serf.Member) (Member, bool) {
	number := func(key string) int {
		n, _ := strconv.Atoi(s.Tags[key]) // what isn't a number counts as none
		return n
	}
	return Member{
		Name: s.Name, ID: s.Tags[tagID], Region: s.Tags[tagRegion], Datacenter: s.Tags[tagDC], Version: s.Tags[tagBuild],
		Addr: s.Addr.String(), Port: int(s.Port), RPCAddr: s.Tags[tagRPC], HTTPAddr: s.Tags[tagHTTP],
		Status: s.Status.String(), Expect: number(tagExpect), HasState: s.Tags[tagState] == "1",
		Sees: s.Tags[tagSees], FeatureLevel: number(tagFeatures), Tags: s.Tags,
		ProtocolMin: s.ProtocolMin, ProtocolMax: s.ProtocolMax, ProtocolCur: s.ProtocolCur,
		DelegateMin: s.DelegateMin, DelegateMax: s.DelegateMax, DelegateCur: s.DelegateCur,
	}, s.Tags[tagRole] == role
}

// sameRegion keeps servers of other regions out.
type sameRegion struct{ region string }

// NotifyMerge implements serf.MergeDelegate.
func (r sameRegion) NotifyMerge(list []*serf.Member) error {
	for _, s := range list {
		if s.Tags[tagRole] != role {
			return fmt.Errorf("%s is no Steppe server", s.Name)
		}
		if s.Tags[tagRegion] != r.region {
			return fmt.Errorf("%s is of region %q, this server of %q: federation of regions is not built yet", s.Name, s.Tags[tagRegion], r.region)
		}
	}
	return nil
}

// gossipLog takes the lines of the library, "[WARN] serf: …", into ours.
type gossipLog struct{ log *slog.Logger }

// Write implements io.Writer. The library warns of what belongs to its daily
// life, so its levels count one less here.
func (g gossipLog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	level, said, ok := strings.Cut(strings.TrimPrefix(text, "["), "] ")
	if !ok {
		said = text
	}
	switch level {
	case "ERR", "ERROR":
		g.log.Warn("gossip", logx.KeyReason, said)
	case "WARN":
		g.log.Info("gossip", logx.KeyReason, said)
	default:
		g.log.Debug("gossip", logx.KeyReason, said)
	}
	return len(line), nil
}
