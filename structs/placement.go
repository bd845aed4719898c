package structs

// Constraint is a condition that a node must meet.
type Constraint struct {
	LTarget string `change:"inplace"`
	RTarget string `change:"inplace"` // literal or interpolation; required by comparison and set operators; forbidden for is_set ops
	Operand string `change:"inplace"` // default =; regexp and version must parse; distinct_* not allowed on tasks
}

// Affinity is a condition that a node should (weight < 0: should not) meet.
type Affinity struct {
	LTarget string `change:"replace"` // as constraint; required
	RTarget string `change:"replace"` // required by operator
	Operand string `change:"replace"` // default =
	Weight  *int8  `change:"replace"` // default 50; -100..100; not 0
}

// Spread evens out allocations over the values of an attribute.
type Spread struct {
	Attribute    string          `change:"replace"` // as constraint; required
	Weight       *int8           `change:"replace"` // default 50; 1..100
	SpreadTarget []*SpreadTarget `change:"replace"` // unique values
}

// SpreadTarget is the share of allocations that a value should get.
type SpreadTarget struct {
	Value   string `change:"replace"` // attribute value; required
	Percent uint8  `change:"replace"` // default 0; 0..100; sum <= 100
}
