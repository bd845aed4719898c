package structs

type Constraint struct {
	LTarget string
	RTarget string
	Operand string
}

type Affinity struct {
	LTarget string
	RTarget string
	Operand string
	Weight  *int8
}

type Spread struct {
	Attribute    string
	Weight       *int8
	SpreadTarget []*SpreadTarget
}

type SpreadTarget struct {
	Value   string
	Percent uint8
}
