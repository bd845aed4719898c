//go:build linux

// Package credential finds what to log in to an image registry with, as a
// node's operator has set it up: in a file of the form of Docker's config.json,
// or by one of the programs docker-credential-NAME that such files name.
//
// It must not know Docker's engine, nor any task. Begin reading at Source.
package credential

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// maxFile bounds a configuration file, and what a helper may print.
const maxFile = 1 << 20

// hub is how Docker's own registry is called in image names, and hubKey how it
// is in configuration files and to helpers.
const (
	hub    = "docker.io"
	hubKey = "https://index.docker.io/v1/"
)

// Login is what a registry is shown.
type Login struct {
	Username string
	Password string
	// IdentityToken stands in place of the two.
	IdentityToken string
	// Server is the registry's name as the source of the login has it.
	Server string
}

// Source says where a node keeps its logins.
type Source struct {
	// File is the path of a config.json; empty: none.
	File string
	// Helper is the name of a helper that is asked for every registry of which
	// the file knows nothing; empty: none.
	Helper string
	// Timeout bounds a helper.
	Timeout time.Duration
}

// file is the part of a config.json that is about logins.
type file struct {
	Auths       map[string]entry  `json:"auths"`
	CredsStore  string            `json:"credsStore"`
	CredHelpers map[string]string `json:"credHelpers"`
}

type entry struct {
	Auth          string `json:"auth"`
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
}

// Check reports what is wrong with the source without asking anything.
func (s Source) Check() error {
	if s.Helper == "" {
		return nil
	}
	return checkHelper(s.Helper)
}

// Find returns the login for a registry, named as images name it; nil if there
// is none. The file's entries come first, then the helpers that it names, then
// the source's own.
func (s Source) Find(ctx context.Context, registry string) (*Login, error) {
	if s.File != "" {
		login, err := s.fromFile(ctx, registry)
		if err != nil || login != nil {
			return login, err
		}
	}
	if s.Helper != "" {
		return s.ask(ctx, s.Helper, serverOf(registry))
	}
	return nil, nil
}

func (s Source) fromFile(ctx context.Context, registry string) (*Login, error) {
	f, err := read(s.File)
	if err != nil {
		return nil, err
	}
	helper := f.CredsStore
	for key, e := range f.Auths {
		if registryOf(key) != registry {
			continue
		}
		login, err := e.login(key)
		if err != nil || login != nil {
			return login, err
		}
	}
	for key, name := range f.CredHelpers {
		if registryOf(key) == registry {
			helper = name
		}
	}
	if helper == "" {
		return nil, nil
	}
	if err := checkHelper(helper); err != nil {
		return nil, fmt.Errorf("read %s: %w", s.File, err)
	}
	return s.ask(ctx, helper, serverOf(registry))
}

func read(path string) (*file, error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read registry logins: %w", err)
	}
	defer func() { _ = in.Close() }()
	data, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read registry logins: %w", err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("read registry logins: %s is larger than %d bytes", path, maxFile)
	}
	out := &file{}
	if err := json.Unmarshal(data, out); err != nil {
		// The error's text could hold a part of a secret.
		return nil, fmt.Errorf("read registry logins: %s is not a file like Docker's config.json", path)
	}
	return out, nil
}

// login reads an entry; one that is empty only says that a helper knows more.
func (e entry) login(server string) (*Login, error) {
	out := &Login{Username: e.Username, Password: e.Password, IdentityToken: e.IdentityToken, Server: server}
	if e.Auth != "" {
		plain, err := base64.StdEncoding.DecodeString(e.Auth)
		if err != nil {
			return nil, fmt.Errorf("read registry logins: the entry of %s isn't base64", server)
		}
		user, password, found := strings.Cut(strings.TrimRight(string(plain), "\x00"), ":")
		if !found {
			return nil, fmt.Errorf("read registry logins: the entry of %s isn't of the form user:password", server)
		}
		out.Username, out.Password = user, password
	}
	if out.Username == "" && out.IdentityToken == "" {
		return nil, nil
	}
	return out, nil
}

// registryOf is the name of the registry that a key of the file means: keys may
// be written as addresses.
func registryOf(key string) string {
	key = strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://")
	key, _, _ = strings.Cut(key, "/")
	if key == "index."+hub || key == "registry-1."+hub {
		return hub
	}
	return key
}

// serverOf is what a helper knows a registry as.
func serverOf(registry string) string {
	if registry == hub {
		return hubKey
	}
	return registry
}

func checkHelper(name string) error {
	ok := name != ""
	for _, r := range name {
		ok = ok && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r))
	}
	if !ok {
		return fmt.Errorf("credential helper %q: give what follows docker-credential- in the name of its program, without a path", name)
	}
	return nil
}

// errNoLogin is a helper's word that it has no login for a registry.
var errNoLogin = errors.New("credentials not found in native keychain")
