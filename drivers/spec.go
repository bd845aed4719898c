package drivers

// SpecKind says which fields of a Spec count.
type SpecKind string

// The kinds of Spec; what each yields is told at its constructor.
const (
	SpecObject     SpecKind = "object"
	SpecArray      SpecKind = "array"
	SpecAttr       SpecKind = "attr"
	SpecBlock      SpecKind = "block"
	SpecBlockAttrs SpecKind = "block_attrs"
	SpecBlockList  SpecKind = "block_list"
	SpecBlockSet   SpecKind = "block_set"
	SpecBlockMap   SpecKind = "block_map"
	SpecDefault    SpecKind = "default"
	SpecLiteral    SpecKind = "literal"
)

// Spec describes the value that a block of configuration yields. It is data,
// so that a plugin can send it to its host.
type Spec struct {
	Kind SpecKind
	// Name of the attribute or block; empty takes the key of the Object above.
	Name string
	// Type of an attribute, or of the elements of block attributes, in the
	// configuration language: string, number, list(string)…
	Type     string
	Required bool
	MinItems uint64
	MaxItems uint64
	Labels   []string
	// Value is a literal, as an expression of the configuration language.
	Value string
	// Nested is what a block holds, and what a default falls back from.
	Nested *Spec
	// Fallback is what a default falls back to.
	Fallback *Spec
	Fields   map[string]*Spec
	Items    []*Spec
}

// Fields is short for the attributes of an Object.
type Fields = map[string]*Spec

// Object yields an object with one attribute per field.
func Object(fields Fields) *Spec { return &Spec{Kind: SpecObject, Fields: fields} }

// Attr yields the attribute called name as typ, null when absent.
func Attr(name, typ string) *Spec { return &Spec{Kind: SpecAttr, Name: name, Type: typ} }

// Required yields the attribute called name as typ, which must be there.
func Required(name, typ string) *Spec {
	return &Spec{Kind: SpecAttr, Name: name, Type: typ, Required: true}
}

// Block yields the nested result of at most one block, null if there is none.
func Block(name string, nested *Spec) *Spec {
	return &Spec{Kind: SpecBlock, Name: name, Nested: nested}
}

// BlockList yields the nested results of all blocks called name.
func BlockList(name string, nested *Spec) *Spec {
	return &Spec{Kind: SpecBlockList, Name: name, Nested: nested}
}

// Default yields primary, or the literal (an expression, such as `"30s"` with
// its quotes) when primary is null.
func Default(primary *Spec, literal string) *Spec {
	return &Spec{Kind: SpecDefault, Nested: primary, Fallback: &Spec{Kind: SpecLiteral, Value: literal}}
}
