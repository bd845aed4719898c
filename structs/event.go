package structs

// Event is one thing that changed, as the event stream tells it.
type Event struct {
	Topic      string
	Type       string
	Key        string
	Namespace  string
	FilterKeys []string
	Index      uint64
	// Payload holds the object under its noun, {"Job": {...}}.
	Payload map[string]any
}

// Events are the changes of one index.
type Events struct {
	Index  uint64
	Events []Event
}
