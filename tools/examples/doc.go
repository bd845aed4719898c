// Package examples keeps two pages of docs true. Its tests draw the cluster that
// placement.md describes, run the commands that the page shows and compare what
// they print; and they compare steppe-api.schema.json with the types whose JSON
// it describes. `go test ./tools/examples -write` writes both.
//
// It must not know what the examples are about. Begin reading at TestPage.
package examples
