// Package pause makes the image of the container that holds an allocation's
// network while its tasks come and go. All it does is wait, so the program is a
// few instructions and the image is written here: no registry needs to be asked
// for it.
//
// It must not know Docker's engine. Begin reading at Archive.
package pause

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// Name of the image. Another program needs another tag.
const Name = "steppe-pause:1"

// program is the path of the program inside.
const program = "/pause"

// machine is what one kind of processor needs.
type machine struct {
	// elf is the processor's number in executables.
	elf  uint16
	code []byte
}

// machines wait for a signal without end; the first process of a container is
// ended by nothing but SIGKILL.
var machines = map[string]machine{
	// pause(); again
	"amd64": {elf: 62, code: []byte{0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7}},
	// ppoll(nothing, for ever); again
	"arm64": {elf: 183, code: words(0xd2800000, 0xd2800001, 0xd2800002, 0xd2800003, 0xd2800004, 0xd2800928, 0xd4000001, 0x17fffff9)},
}

func words(instructions ...uint32) []byte {
	var out []byte
	for _, i := range instructions {
		out = binary.LittleEndian.AppendUint32(out, i)
	}
	return out
}

// Known reports whether there is a program for an architecture.
func Known(arch string) bool {
	_, ok := machines[arch]
	return ok
}

// Archive returns the image for an architecture, in the form that engines load.
func Archive(arch string) ([]byte, error) {
	m, ok := machines[arch]
	if !ok {
		return nil, fmt.Errorf("there is no program for %s: name an image in infra_image", arch)
	}
	layer, err := pack(file{program[1:], 0o755, executable(m)})
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(layer)
	config, err := json.Marshal(map[string]any{
		"architecture": arch, "os": "linux", "created": "2020-01-01T00:00:00Z",
		"config": map[string]any{"Entrypoint": []string{program}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + hex.EncodeToString(digest[:])}},
	})
	if err != nil {
		return nil, fmt.Errorf("encode image: %w", err)
	}
	manifest, err := json.Marshal([]map[string]any{{"Config": "config.json", "RepoTags": []string{Name}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return nil, fmt.Errorf("encode image: %w", err)
	}
	return pack(file{"layer.tar", 0o644, layer}, file{"config.json", 0o644, config}, file{"manifest.json", 0o644, manifest})
}

type file struct {
	name string
	mode int64
	data []byte
}

func pack(files ...file) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		err := w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.data))})
		if err == nil {
			_, err = w.Write(f.data)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("pack %s: %w", f.name, err), w.Close())
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack image: %w", err)
	}
	return out.Bytes(), nil
}

// executable is the smallest form of one: a header, one segment, and the code.
func executable(m machine) []byte {
	const base, header, segment = 0x400000, 64, 56
	size := uint64(header + segment + len(m.code))
	le := binary.LittleEndian
	out := []byte{0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	out = le.AppendUint16(out, 2) // an executable
	out = le.AppendUint16(out, m.elf)
	out = le.AppendUint32(out, 1)
	out = le.AppendUint64(out, base+header+segment) // where it begins
	out = le.AppendUint64(out, header)              // where the segments are told
	out = le.AppendUint64(out, 0)
	out = le.AppendUint32(out, 0)
	for _, n := range []uint16{header, segment, 1, 0, 0, 0} {
		out = le.AppendUint16(out, n)
	}
	out = le.AppendUint32(out, 1) // to be loaded
	out = le.AppendUint32(out, 5) // to be read and run
	for _, n := range []uint64{0, base, base, size, size, 0x1000} {
		out = le.AppendUint64(out, n)
	}
	return append(out, m.code...)
}
