package command

import (
	"errors"
	"fmt"

	"github.com/steppe-run/steppe/internal/wire"
)

// An entry of the log is a version byte, a kind byte and the command: msgpack
// with field names, or for ApplyPlans the columns of plancodec.go.
//
// What was written once is read for ever: never change what a number or a
// field name means. A field that is added is absent in old entries; a change
// beyond that is a new kind.
const version1 = 1

// UnknownEntryError is returned for a log entry that this build can't read: of
// a newer version, or of a kind it doesn't know.
type UnknownEntryError struct {
	Version, Kind byte
}

// Error implements error.
func (e *UnknownEntryError) Error() string {
	return fmt.Sprintf("log entry of version %d, kind %d is not known to this version of Steppe: upgrade this server", e.Version, e.Kind)
}

// ErrBadEntry is returned for bytes that are not a log entry.
var ErrBadEntry = errors.New("log entry is damaged")

const (
	kindRegisterJob        = 1
	kindDeregisterJob      = 2
	kindMarkJobStable      = 3
	kindTagJobVersion      = 4
	kindUpsertEvals        = 5
	kindApplyPlans         = 6
	kindRegisterNode       = 7
	kindSetNodeStatus      = 8
	kindSetNodeEligibility = 9
	kindSetNodeDrain       = 10
	kindDeleteNodes        = 11
	kindUpdateAllocs       = 12
	kindTransitionAllocs   = 13
	kindUpdateDeployment   = 14
	kindPromoteDeployment  = 15
	kindSetAllocHealth     = 16
	kindUpsertServices     = 17
	kindDeleteServices     = 18
	kindSweep              = 19
	kindSetSchedulerConfig = 20
	kindUpsertNodePools    = 21
	kindDeleteNodePools    = 22
	kindUpsertNamespaces   = 23
	kindDeleteNamespaces   = 24
	kindDispatchJob        = 25
	kindLaunchJobs         = 26
)

// usual is the room made for an entry: a job of one task takes most of it.
const usual = 2048

// Encode returns a command as a log entry.
func Encode(c Command) ([]byte, error) {
	kind := kindOf(c)
	head := []byte{version1, kind}
	switch kind {
	case 0:
		return nil, fmt.Errorf("encode command: %T is not a command of the log", c)
	case kindApplyPlans:
		return encodePlans(head, c.(*ApplyPlans))
	}
	entry, err := wire.Append(append(make([]byte, 0, usual), head...), c)
	if err != nil {
		return nil, fmt.Errorf("encode command: %w", err)
	}
	return entry, nil
}

// Decode reads a log entry. It accepts any bytes: what isn't an entry is an
// error, and memory is bounded by what was given.
func Decode(data []byte) (Command, error) {
	if len(data) < 2 {
		return nil, fmt.Errorf("decode command of %d bytes: %w", len(data), ErrBadEntry)
	}
	c := blank(data[1])
	if data[0] != version1 || c == nil {
		return nil, &UnknownEntryError{Version: data[0], Kind: data[1]}
	}
	if plans, ok := c.(*ApplyPlans); ok {
		if err := decodePlans(data[2:], plans); err != nil {
			return nil, fmt.Errorf("decode plans: %w", errors.Join(ErrBadEntry, err))
		}
		return plans, nil
	}
	if err := wire.Unmarshal(data[2:], c); err != nil {
		return nil, fmt.Errorf("decode command: %w", errors.Join(ErrBadEntry, err))
	}
	return c, nil
}

// blank returns an empty command of a kind, nil if there is none.
func blank(kind byte) Command {
	if int(kind) < len(kinds) && kinds[kind].blank != nil {
		return kinds[kind].blank()
	}
	return nil
}

// Level is the feature level of this version: the highest that a kind of command
// has. A server makes the same of every entry whose level isn't above its own.
const Level = 4

// LevelOf returns the feature level that all members of a region must have
// before a command may be proposed: the one with which its kind came, or has last
// changed its fields or what applying it does.
func LevelOf(c Command) int { return kinds[kindOf(c)].level }

// kinds are the commands by their number. A new one gets the next number and the
// next level, and one that changes gets the next level, so that no member is sent
// what it can't read or would make something else of; several that are released
// together share a level. testdata/fields.txt is what tells that fields changed.
var kinds = [...]struct {
	level int
	blank func() Command
}{
	kindRegisterJob:        {3, func() Command { return new(RegisterJob) }},
	kindDeregisterJob:      {3, func() Command { return new(DeregisterJob) }},
	kindMarkJobStable:      {1, func() Command { return new(MarkJobStable) }},
	kindTagJobVersion:      {1, func() Command { return new(TagJobVersion) }},
	kindUpsertEvals:        {1, func() Command { return new(UpsertEvals) }},
	kindApplyPlans:         {3, func() Command { return new(ApplyPlans) }},
	kindRegisterNode:       {3, func() Command { return new(RegisterNode) }},
	kindSetNodeStatus:      {3, func() Command { return new(SetNodeStatus) }},
	kindSetNodeEligibility: {3, func() Command { return new(SetNodeEligibility) }},
	kindSetNodeDrain:       {3, func() Command { return new(SetNodeDrain) }},
	kindDeleteNodes:        {3, func() Command { return new(DeleteNodes) }},
	kindUpdateAllocs:       {3, func() Command { return new(UpdateAllocs) }},
	kindTransitionAllocs:   {3, func() Command { return new(TransitionAllocs) }},
	kindUpdateDeployment:   {1, func() Command { return new(UpdateDeployment) }},
	kindPromoteDeployment:  {1, func() Command { return new(PromoteDeployment) }},
	kindSetAllocHealth:     {1, func() Command { return new(SetAllocHealth) }},
	kindUpsertServices:     {4, func() Command { return new(UpsertServices) }},
	kindDeleteServices:     {1, func() Command { return new(DeleteServices) }},
	kindSweep:              {3, func() Command { return new(Sweep) }},
	kindSetSchedulerConfig: {1, func() Command { return new(SetSchedulerConfig) }},
	kindUpsertNodePools:    {1, func() Command { return new(UpsertNodePools) }},
	kindDeleteNodePools:    {1, func() Command { return new(DeleteNodePools) }},
	kindUpsertNamespaces:   {1, func() Command { return new(UpsertNamespaces) }},
	kindDeleteNamespaces:   {1, func() Command { return new(DeleteNamespaces) }},
	kindDispatchJob:        {3, func() Command { return new(DispatchJob) }},
	kindLaunchJobs:         {3, func() Command { return new(LaunchJobs) }},
}

// kindOf returns the number of a command's kind, 0 if it has none.
func kindOf(c Command) byte {
	switch c.(type) {
	case *RegisterJob:
		return kindRegisterJob
	case *DeregisterJob:
		return kindDeregisterJob
	case *MarkJobStable:
		return kindMarkJobStable
	case *TagJobVersion:
		return kindTagJobVersion
	case *UpsertEvals:
		return kindUpsertEvals
	case *ApplyPlans:
		return kindApplyPlans
	case *RegisterNode:
		return kindRegisterNode
	case *SetNodeStatus:
		return kindSetNodeStatus
	case *SetNodeEligibility:
		return kindSetNodeEligibility
	case *SetNodeDrain:
		return kindSetNodeDrain
	case *DeleteNodes:
		return kindDeleteNodes
	case *UpdateAllocs:
		return kindUpdateAllocs
	case *TransitionAllocs:
		return kindTransitionAllocs
	case *UpdateDeployment:
		return kindUpdateDeployment
	case *PromoteDeployment:
		return kindPromoteDeployment
	case *SetAllocHealth:
		return kindSetAllocHealth
	case *UpsertServices:
		return kindUpsertServices
	case *DeleteServices:
		return kindDeleteServices
	case *Sweep:
		return kindSweep
	case *SetSchedulerConfig:
		return kindSetSchedulerConfig
	case *UpsertNodePools:
		return kindUpsertNodePools
	case *DeleteNodePools:
		return kindDeleteNodePools
	case *UpsertNamespaces:
		return kindUpsertNamespaces
	case *DeleteNamespaces:
		return kindDeleteNamespaces
	case *DispatchJob:
		return kindDispatchJob
	case *LaunchJobs:
		return kindLaunchJobs
	}
	return 0
}
