package feasible

import (
	"encoding/binary"

	"github.com/steppe-run/steppe/structs"
)

// AppendKey appends a text to out that groups have in common only if they are
// asked of the same nodes and have the same Checks. It costs far less than those.
func AppendKey(out []byte, job *structs.Job, group *structs.TaskGroup) []byte {
	out = appendText(out, job.GetNodePool())
	out = appendTexts(out, job.Datacenters)
	out = appendConstraints(out, job.Constraints)
	out = appendConstraints(out, group.Constraints)
	out = binary.AppendUvarint(out, uint64(len(group.Tasks)))
	for _, t := range group.Tasks {
		out = appendConstraints(out, t.Constraints)
		out = appendText(out, t.Driver)
	}
	out = appendNames(out, devices(group))
	out = appendNames(out, cores(group))
	out = appendNames(out, volumes(group))
	return appendNames(out, networks(group))
}

// Texts come with their length: whatever is in them, two lists of texts never
// look the same.

func appendText(out []byte, text string) []byte {
	return append(binary.AppendUvarint(out, uint64(len(text))), text...)
}

func appendTexts(out []byte, texts []string) []byte {
	out = binary.AppendUvarint(out, uint64(len(texts)))
	for _, t := range texts {
		out = appendText(out, t)
	}
	return out
}

func appendConstraint(out []byte, c *structs.Constraint) []byte {
	return appendText(appendText(appendText(out, c.LTarget), c.Operand), c.RTarget)
}

func appendConstraints(out []byte, list []*structs.Constraint) []byte {
	out = binary.AppendUvarint(out, uint64(len(list)))
	for _, c := range list {
		out = appendConstraint(out, c)
	}
	return out
}

func appendNames(out []byte, list []Check) []byte {
	out = binary.AppendUvarint(out, uint64(len(list)))
	for i := range list {
		out = appendText(out, list[i].Name)
	}
	return out
}
