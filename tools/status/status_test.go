package main

import (
	"os"
	"strings"
	"testing"
)

func TestPageIsUpToDate(t *testing.T) {
	want, err := document()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../docs/status.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/status.md is out of date: go run ./tools/status -write")
	}
}

func TestEveryRowIsThere(t *testing.T) {
	text, err := os.ReadFile("../../docs/status.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, rows := range [][]row{httpRows(), cliRows(), specRows(), configRows(), objectRows()} {
		for _, r := range rows {
			if !strings.Contains(string(text), "`"+cell(r.name)+"`") {
				t.Errorf("docs/status.md misses %s", describe(r))
			}
		}
	}
}

// A note can't claim what the code denies.
func TestNotesCantPromiseUnbuiltRoutes(t *testing.T) {
	n := &notes{all: []*note{{table: "http", pattern: "GET /v1/x", status: works}}}
	err := n.apply(&table{key: "http", rows: []row{{"GET /v1/x", notYet, "no such route"}}})
	if err == nil {
		t.Error("a note made an unbuilt route work")
	}
}
