package state

// Change is what one applied entry changed.
type Change struct {
	Index uint64
	// Time is when the command was proposed, in unix nanoseconds; 0 if it
	// doesn't say.
	Time   int64
	Events []Event
}

// Event is one object that changed. Its objects are made when asked for.
type Event struct {
	kind     eventKind
	row      uint32 // of an allocation within its batch
	old, new any
}

type eventKind uint8

// Table returns the table that holds the object.
func (e *Event) Table() Table { return 0 }

// Topic returns the topic of the event stream.
func (e *Event) Topic() string { return "" }

// Type returns the event's type, as the event stream names it.
func (e *Event) Type() string { return "" }

// Key returns the object's ID.
func (e *Event) Key() string { return "" }

// Namespace returns the object's namespace, "" if it has none.
func (e *Event) Namespace() string { return "" }

// NodeID returns the node of an allocation, node or service event, else "".
func (e *Event) NodeID() string { return "" }

// Old returns the object before the change, nil if it is new: a *structs.Job,
// *structs.Node, *structs.Allocation…
func (e *Event) Old() any { return e.old }

// New returns the object after the change, nil if it was removed.
func (e *Event) New() any { return e.new }

// FilterKeys returns further IDs by which a listener may ask for the event.
func (e *Event) FilterKeys() []string { return nil }
