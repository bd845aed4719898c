package structs

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// AllocationMetric explains a placement, or why there was none. Counts are
// over nodes.
type AllocationMetric struct {
	NodesEvaluated     int
	NodesFiltered      int
	NodesInPool        int
	NodePool           string
	NodesAvailable     map[string]int
	ClassFiltered      map[string]int
	ConstraintFiltered map[string]int
	NodesExhausted     int
	ClassExhausted     map[string]int
	DimensionExhausted map[string]int
	QuotaExhausted     []string
	ResourcesExhausted map[string]*Resources
	Scores             map[string]float64
	AllocationTime     time.Duration
	CoalescedFailures  int
	ScoreMetaData      []*NodeScoreMeta
}

// NodeScoreMeta is how a node was scored, part by part.
type NodeScoreMeta struct {
	NodeID string
	// Scores were a map once, under their own name: entries and snapshots of then
	// are read without them.
	Scores    ScoreParts `codec:"Parts"`
	NormScore float64
}

// ScoreParts are the parts of a score in the order of their names. For programs
// it is an object of numbers; as a list it costs a fraction of a map, and every
// job that is placed has some.
type ScoreParts []ScorePart

// ScorePart is one part of a score.
type ScorePart struct {
	Name  string  `codec:"n"`
	Value float64 `codec:"v"`
}

// Get returns a part, 0 if it is absent.
func (p ScoreParts) Get(name string) float64 {
	for i := range p {
		if p[i].Name == name {
			return p[i].Value
		}
	}
	return 0
}

// Map returns the parts by name.
func (p ScoreParts) Map() map[string]float64 {
	out := make(map[string]float64, len(p))
	for i := range p {
		out[p[i].Name] = p[i].Value
	}
	return out
}

// MarshalJSON writes an object.
func (p ScoreParts) MarshalJSON() ([]byte, error) {
	if p == nil {
		return []byte("null"), nil
	}
	return json.Marshal(p.Map())
}

// UnmarshalJSON reads an object.
func (p *ScoreParts) UnmarshalJSON(data []byte) error {
	var parts map[string]float64
	if err := json.Unmarshal(data, &parts); err != nil {
		return fmt.Errorf("read parts of a score: %w", err)
	}
	*p = nil
	if parts != nil {
		*p = make(ScoreParts, 0, len(parts))
	}
	for name, value := range parts {
		*p = append(*p, ScorePart{Name: name, Value: value})
	}
	slices.SortFunc(*p, func(a, b ScorePart) int { return cmp.Compare(a.Name, b.Name) })
	return nil
}
