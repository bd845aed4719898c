package function

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/mitchellh/go-homedir"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// errNoFS is what functions that read files answer where they may not.
var errNoFS = errors.New("files can't be read here: parse the job where the files are, with the command line")

// maxFileBytes bounds a file that is read into a job.
const maxFileBytes = 10 << 20

// Files reads files for a job file.
type Files struct {
	// Allow permits it; it is off where the text comes from somebody else.
	Allow bool
	// Base is what paths are relative to; the current directory if empty.
	Base string
}

func fileFunctions(f Files) map[string]function.Function {
	return map[string]function.Function{
		"abspath":    textFunc(f.reading(func(p string) (string, error) { return filepath.Abs(p) })),
		"basename":   textFunc(func(p string) (string, error) { return filepath.Base(p), nil }),
		"dirname":    textFunc(func(p string) (string, error) { return filepath.Dir(p), nil }),
		"pathexpand": textFunc(f.reading(homedir.Expand)),
		"file":       textFunc(f.reading(f.text)),
		"filebase64": textFunc(f.reading(f.base64)),
		"fileexists": f.existsFunc(),
		"fileset":    f.setFunc(),
	}
}

// reading refuses where the file system is out of bounds.
func (f Files) reading(do func(string) (string, error)) func(string) (string, error) {
	if f.Allow {
		return do
	}
	return func(string) (string, error) { return "", errNoFS }
}

func (f Files) resolve(name string) (string, error) {
	name, err := homedir.Expand(name)
	if err != nil || filepath.IsAbs(name) {
		return name, err
	}
	return filepath.Join(f.Base, name), nil
}

func (f Files) read(name string) ([]byte, error) {
	name, err := f.resolve(name)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	defer func() { _ = file.Close() }() // only read from
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	if len(data) > maxFileBytes {
		return nil, fmt.Errorf("%s has more than %d bytes", name, maxFileBytes)
	}
	return data, nil
}

func (f Files) text(name string) (string, error) {
	data, err := f.read(name)
	if err != nil {
		return "", err
	}
	if !utf8.Valid(data) {
		return "", fmt.Errorf("%s is no UTF-8 text: use filebase64", name)
	}
	return string(data), nil
}

func (f Files) base64(name string) (string, error) {
	data, err := f.read(name)
	return base64.StdEncoding.EncodeToString(data), err
}

func (f Files) existsFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if !f.Allow {
				return cty.NilVal, errNoFS
			}
			name, err := f.resolve(args[0].AsString())
			if err != nil {
				return cty.NilVal, err
			}
			info, err := os.Stat(name)
			if errors.Is(err, fs.ErrNotExist) {
				return cty.False, nil
			}
			if err != nil {
				return cty.NilVal, fmt.Errorf("look for file: %w", err)
			}
			return cty.BoolVal(info.Mode().IsRegular()), nil
		},
	})
}

// maxVisited bounds a search for files.
const maxVisited = 100_000

func (f Files) setFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}, {Name: "pattern", Type: cty.String}},
		Type:   function.StaticReturnType(cty.Set(cty.String)),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if !f.Allow {
				return cty.NilVal, errNoFS
			}
			names, err := f.matching(args[0].AsString(), args[1].AsString())
			if err != nil {
				return cty.NilVal, err
			}
			if len(names) == 0 {
				return cty.SetValEmpty(cty.String), nil
			}
			values := make([]cty.Value, 0, len(names))
			for _, n := range names {
				values = append(values, cty.StringVal(n))
			}
			return cty.SetVal(values), nil
		},
	})
}

func (f Files) matching(dir, pattern string) ([]string, error) {
	root, err := f.resolve(dir)
	if err != nil {
		return nil, err
	}
	if _, err := path.Match(strings.ReplaceAll(pattern, "**", "*"), "x"); err != nil {
		return nil, fmt.Errorf("%q is not a pattern: %w", pattern, err)
	}
	var names []string
	visited := 0
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if visited++; visited > maxVisited {
			return fmt.Errorf("%s holds more than %d files", root, maxVisited)
		}
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if matchPath(strings.Split(pattern, "/"), strings.Split(rel, "/")) {
			names = append(names, rel)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("search files: %w", err)
	}
	sort.Strings(names)
	return names, nil
}

// matchPath matches a path with a pattern, part by part; ** is any number of
// parts.
func matchPath(pattern, name []string) bool {
	if len(pattern) == 0 {
		return len(name) == 0
	}
	if pattern[0] == "**" {
		for i := range len(name) + 1 {
			if matchPath(pattern[1:], name[i:]) {
				return true
			}
		}
		return false
	}
	if len(name) == 0 {
		return false
	}
	ok, _ := path.Match(pattern[0], name[0]) // the pattern was checked
	return ok && matchPath(pattern[1:], name[1:])
}
