package jobspec

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/steppe-run/steppe/jobspec/diagnose"
	"github.com/steppe-run/steppe/jobspec/function"
	"github.com/steppe-run/steppe/structs"
)

func TestEveryFunctionIsThere(t *testing.T) {
	data, err := os.ReadFile("testdata/functions.txt")
	if err != nil {
		t.Fatal(err)
	}
	have := function.Table(function.Files{}, function.NewBudget())
	names := strings.Fields(string(data))
	for _, name := range names {
		if _, ok := have[name]; !ok {
			t.Errorf("no function %s", name)
		}
	}
	if len(have) != len(names) {
		t.Errorf("%d functions, %d are listed", len(have), len(names))
	}
}

// eval evaluates an expression as a job's name.
func eval(t *testing.T, in Input, expr string) (string, diagnose.Diagnostics) {
	t.Helper()
	in.Source = []byte("job \"j\" {\n  name = " + expr + "\n}\n")
	job, diags := Parse(in)
	if job == nil {
		return "", diags
	}
	return structs.Value(job.Name), diags
}

func TestFunctions(t *testing.T) {
	for expr, want := range map[string]string{
		`abs(-3)`: "3", `ceil(1.2)`: "2", `floor(1.8)`: "1", `log(8, 2)`: "3", `max(1, 5, 2)`: "5", `min(4, 2)`: "2",
		`parseint("ff", 16)`: "255", `pow(2, 10)`: "1024", `signum(-9)`: "-1",
		`chomp("a\n")`: "a", `format("%s-%03d", "a", 7)`: "a-007", `join("+", formatlist("%s!", ["a", "b"]))`: "a!+b!",
		`indent(2, "a\nb")`: "a\n  b", `lower("AB")`: "ab", `upper("ab")`: "AB", `title("ab cd")`: "Ab Cd",
		`regex_replace("a1b22", "[0-9]+", "#")`: "a#b#", `replace("a.b.c", ".", "-")`: "a-b-c",
		`join("|", split(",", "a,b"))`: "a|b", `strlen("äö")`: "2", `strrev("abc")`: "cba", `substr("hello", 1, 3)`: "ell",
		`trim("xxaxx", "x")`: "a", `trimprefix("ab", "a")`: "b", `trimsuffix("ab", "b")`: "a", `trimspace(" a ")`: "a",
		`length(chunklist(["a", "b", "c"], 2))`: "2", `coalesce("", "b")`: "", `join("", coalescelist([], ["z"]))`: "z",
		`length(compact(["a", "", "b"]))`: "2", `join("", concat(["a"], ["b"]))`: "ab", `contains(["a"], "a")`: "true",
		`length(distinct(["a", "a"]))`: "1", `element(["a", "b"], 3)`: "b", `length(flatten([["a"], ["b", "c"]]))`: "3",
		`index(["a", "b"], "b")`: "1", `join("", keys({ b = 1, a = 2 }))`: "ab", `lookup({ a = "x" }, "b", "d")`: "d",
		`merge({ a = "1" }, { b = "2" }).b`: "2", `join(",", range(3))`: "0,1,2", `join("", reverse(["a", "b"]))`: "ba",
		`length(setintersection(["a", "b"], ["b"]))`: "1", `length(setproduct(["a", "b"], ["c", "d"]))`: "4",
		`length(setunion(["a"], ["b"]))`: "2", `join("", slice(["a", "b", "c"], 1, 3))`: "bc", `join("", sort(["b", "a"]))`: "ab",
		`join("", values({ a = "x", b = "y" }))`: "xy", `zipmap(["a"], ["v"]).a`: "v",
		`base64encode("hi")`: "aGk=", `base64decode("aGk=")`: "hi", `csvdecode("a,b\n1,2")[0].b`: "2",
		`jsondecode("{\"a\": [1, 2]}").a[1]`: "2", `jsonencode({ a = 1 })`: `{"a":1}`, `urlencode("a b/c")`: "a+b%2Fc",
		`yamldecode("a:\n- 1\n- x").a[1]`: "x", `yamldecode(yamlencode({ k = ["v"] })).k[0]`: "v",
		`formatdate("YYYY", "2026-01-02T03:04:05Z")`: "2026", `timeadd("2026-01-02T03:04:05Z", "1h")`: "2026-01-02T04:04:05Z",
		`sha256("a")`: "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb", `substr(sha512("a"), 0, 8)`: "1f40fc92",
		`uuidv5("dns", "example.com")`: "cfbff0d1-9375-5685-968c-48ce8b15ae17", `strlen(uuidv4())`: "36",
		`cidrhost("10.0.0.0/8", 5)`: "10.0.0.5", `cidrhost("10.0.0.0/24", -1)`: "10.0.0.255", `cidrhost("fd00::/64", 258)`: "fd00::102",
		`cidrnetmask("10.0.0.0/12")`: "255.240.0.0", `cidrsubnet("172.16.0.0/12", 4, 2)`: "172.18.0.0/16",
		`join(" ", cidrsubnets("10.1.0.0/16", 4, 4, 8, 4))`: "10.1.0.0/20 10.1.16.0/20 10.1.32.0/24 10.1.48.0/20",
		`can(parseint("x", 10))`:                            "false", `try(parseint("x", 10), "safe")`: "safe", `length(convert(["a", "a"], set(string)))`: "1", `"${length(convert(["b", "b"], set(string)))}"`: "1", `try(nosuch.x, "safe")`: "safe",
		`basename("/a/b.txt")`: "b.txt", `dirname("/a/b.txt")`: "/a",
	} {
		got, diags := eval(t, Input{}, expr)
		if len(diags) > 0 || got != want {
			t.Errorf("%s = %q, want %q\n%s", expr, got, want, diags.Error())
		}
	}
}

func TestFunctionsThatRefuse(t *testing.T) {
	for expr, want := range map[string]string{
		`file("x")`:                                     "files can't be read here",
		`filebase64("x")`:                               "files can't be read here",
		`fileexists("x")`:                               "files can't be read here",
		`join("", fileset(".", "*"))`:                   "files can't be read here",
		`abspath("x")`:                                  "files can't be read here",
		`pathexpand("~/x")`:                             "files can't be read here",
		`cidrsubnet("10.0.0.0/30", 4, 0)`:               "can't be extended by 4 bits",
		`cidrsubnet("10.0.0.0/8", 2, 4)`:                "2 bits can't number 4 networks",
		`cidrhost("10.0.0.0/30", 4)`:                    "has no address number 4",
		`cidrhost("x", 4)`:                              "must be a network such as",
		`join("", cidrsubnets("10.0.0.0/24", 1, 1, 1))`: "has no room",
		`cidrnetmask("fd00::/64")`:                      "IPv6 networks have no mask",
		`bcrypt("x", 31)`:                               "must be from 4 to 12",
		`rsadecrypt("eA==", "no key")`:                  "is not a key in PEM form",
		`base64decode("%")`:                             "is not base64",
		`uuidv5("weird", "x")`:                          "must be dns, url, oid, x500 or a UUID",
		`index(["a"], "b")`:                             "the list does not contain it",
		`nosuch(1)`:                                     "no function named",
	} {
		_, diags := eval(t, Input{}, expr)
		if !strings.Contains(diags.Error(), want) {
			t.Errorf("%s: %s, want %q", expr, diags.Error(), want)
		}
	}
}

func TestSlowHashes(t *testing.T) {
	got, diags := eval(t, Input{}, `bcrypt("secret", 4)`)
	if err := bcrypt.CompareHashAndPassword([]byte(got), []byte("secret")); err != nil {
		t.Errorf("bcrypt: %v %s", err, diags.Error())
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := rsa.EncryptPKCS1v15(rand.Reader, &key.PublicKey, []byte("hidden")) //nolint:staticcheck // the function is defined by this padding
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	in := Input{Vars: map[string]string{"key": text, "secret": base64.StdEncoding.EncodeToString(secret)}}
	in.Source = []byte("variable \"key\" {}\nvariable \"secret\" {}\njob \"j\" {\n  name = rsadecrypt(var.secret, var.key)\n}\n")
	job, diags := Parse(in)
	if job == nil || structs.Value(job.Name) != "hidden" {
		t.Errorf("rsadecrypt: %v %s", job, diags.Error())
	}
}

func TestFunctionsThatReadFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.txt": "A ${attr.x}", "sub/b.txt": "B", "sub/deep/c.cfg": "C", "bin": "\xff"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in := Input{AllowFS: true, BaseDir: dir}
	for expr, want := range map[string]string{
		`file("a.txt")`:                                   "A ${attr.x}",
		`filebase64("bin")`:                               "/w==",
		`fileexists("a.txt")`:                             "true",
		`fileexists("none")`:                              "false",
		`join(" ", fileset(".", "*.txt"))`:                "a.txt",
		`join(" ", fileset(".", "**/*.txt"))`:             "a.txt sub/b.txt",
		`join(" ", fileset("sub", "**"))`:                 "b.txt deep/c.cfg",
		`join(" ", fileset(".", "sub/*/c.*"))`:            "sub/deep/c.cfg",
		`file("` + filepath.Join(dir, "sub/b.txt") + `")`: "B",
	} {
		if got, diags := eval(t, in, expr); got != want {
			t.Errorf("%s = %q, want %q\n%s", expr, got, want, diags.Error())
		}
	}
	for expr, want := range map[string]string{
		`file("bin")`:       "is no UTF-8 text",
		`file("none")`:      "no such file",
		`file("sub")`:       "is not a regular file",
		`fileset(".", "[")`: "is not a pattern",
	} {
		if _, diags := eval(t, in, expr); !strings.Contains(diags.Error(), want) {
			t.Errorf("%s: %s, want %q", expr, diags.Error(), want)
		}
	}
}
