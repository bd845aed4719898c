package config

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"github.com/steppe-run/steppe/drivers"
)

func spec() *drivers.Spec {
	return drivers.Object(drivers.Fields{
		"image":   drivers.Required("image", "string"),
		"args":    drivers.Attr("args", "list(string)"),
		"retries": drivers.Attr("retries", "number"),
		"init":    drivers.Attr("init", "bool"),
		"timeout": drivers.Default(drivers.Attr("timeout", "string"), `"5m"`),
		"labels":  drivers.Attr("labels", "list(map(string))"),
		"mount": drivers.BlockList("mount", drivers.Object(drivers.Fields{
			"type":   drivers.Attr("", "string"),
			"target": drivers.Attr("target", "string"),
		})),
		"auth": drivers.Block("auth", drivers.Object(drivers.Fields{"username": drivers.Attr("username", "string")})),
	})
}

type decoded struct {
	Image   string              `codec:"image"`
	Args    []string            `codec:"args"`
	Retries int                 `codec:"retries"`
	Init    bool                `codec:"init"`
	Timeout string              `codec:"timeout"`
	Labels  []map[string]string `codec:"labels"`
	Mount   []struct {
		Type   string `codec:"type"`
		Target string `codec:"target"`
	} `codec:"mount"`
	Auth *struct {
		Username string `codec:"username"`
	} `codec:"auth"`
}

func TestEncodeReachesADriversStruct(t *testing.T) {
	vars := map[string]string{
		"NOMAD_PORT_http": "8080", "meta.owner": "me", "HOME": "/srv",
		"attr.driver.docker": "1", "attr.driver.docker.version": "20.10", "node.unique.id": "abc",
	}
	block := map[string]any{
		"image":   "web:${attr.driver.docker.version}",
		"args":    []any{"-p", "${NOMAD_PORT_http}", `${env["HOME"]}/x`, "$${kept}", "${upper(meta.owner)}", "${attr.driver.docker}-${attr.driver.docker.version}"},
		"retries": "${NOMAD_PORT_http}",
		"init":    "true",
		"labels":  map[string]any{"a": "${node.unique.id}"},
		"mount":   []map[string]any{{"type": "bind", "target": "/a"}, {"type": "tmpfs", "target": "/b"}},
	}
	data, err := Encode(spec(), block, vars)
	if err != nil {
		t.Fatal(err)
	}
	var got decoded
	if err := drivers.DecodeConfig(data, &got); err != nil {
		t.Fatal(err)
	}
	want := decoded{
		Image: "web:20.10", Args: []string{"-p", "8080", "/srv/x", "${kept}", "ME", "1-20.10"},
		Retries: 8080, Init: true, Timeout: "5m", Labels: []map[string]string{{"a": "abc"}},
	}
	want.Mount = append(want.Mount, struct {
		Type   string `codec:"type"`
		Target string `codec:"target"`
	}{"bind", "/a"}, struct {
		Type   string `codec:"type"`
		Target string `codec:"target"`
	}{"tmpfs", "/b"})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("decoded config (-want +got):\n%s", diff)
	}
}

func TestFaultsAreToldAtOnceAndWithSuggestions(t *testing.T) {
	for name, tc := range map[string]struct {
		block map[string]any
		want  []string
	}{
		"unknown key":     {map[string]any{"imge": "b", "agrs": []any{}}, []string{`"imge"`, `Did you mean "image"?`, `Did you mean "args"?`}},
		"missing":         {map[string]any{}, []string{`"image"`, "required"}},
		"wrong type":      {map[string]any{"image": "a", "retries": "many"}, []string{"number"}},
		"unknown var":     {map[string]any{"image": "${NOMAD_X}", "args": []any{"${nope}"}}, []string{`image: "${NOMAD_X}"`, `"NOMAD_X"`, `args[0]`, `"nope"`}},
		"broken template": {map[string]any{"image": "${"}, []string{"not a template"}},
		"two blocks":      {map[string]any{"image": "a", "auth": []any{map[string]any{}, map[string]any{}}}, []string{"auth"}},
	} {
		_, err := Encode(spec(), tc.block, nil)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, want := range tc.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error lacks %q:\n%v", name, want, err)
			}
		}
	}
}

func TestNoSchemaRefusesABlock(t *testing.T) {
	if _, err := Encode(nil, map[string]any{"a": 1}, nil); err == nil {
		t.Fatal("a block was taken by a plugin without a schema")
	}
	if data, err := Encode(nil, nil, nil); err != nil || data != nil {
		t.Fatalf("Encode(nil, nil) = %v, %v", data, err)
	}
}

func TestMarshalBytes(t *testing.T) {
	third := cty.MustParseNumberVal("0.1")
	big := cty.MustParseNumberVal("18446744073709551616")
	for name, tc := range map[string]struct {
		value cty.Value
		want  string
	}{
		"small":    {cty.NumberIntVal(5), "05"},
		"uint8":    {cty.NumberIntVal(200), "ccc8"},
		"uint16":   {cty.NumberIntVal(8080), "cd1f90"},
		"negative": {cty.NumberIntVal(-200), "d1ff38"},
		"half":     {cty.NumberFloatVal(0.5), "cb3fe0000000000000"},
		"tenth":    {third, "a3302e31"},
		"huge":     {big, "b43138343436373434303733373039353531363136"},
		"null":     {cty.NullVal(cty.String), "c0"},
		"any":      {cty.TupleVal([]cty.Value{cty.True, cty.StringVal("x")}), "92c3a178"},
		"object":   {cty.ObjectVal(map[string]cty.Value{"b": cty.NullVal(cty.String), "a": cty.False}), "82a161c2a162c0"},
		"set":      {cty.SetVal([]cty.Value{cty.StringVal("b"), cty.StringVal("a")}), "92a161a162"},
	} {
		got, err := Marshal(tc.value)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if hex.EncodeToString(got) != tc.want {
			t.Errorf("%s: got %x, want %s", name, got, tc.want)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"plain", "${NOMAD_A}", "${attr.a.b}${upper(x)}", "%{if true}a%{endif}", "$${x}", "${env[\"A\"]}", "${[1,2][0]}"} {
		f.Add(s)
	}
	vars := map[string]string{"NOMAD_A": "1", "A": "2", "attr.a.b": "3", "x": "y"}
	f.Fuzz(func(t *testing.T, s string) {
		_, _ = Encode(spec(), map[string]any{"image": s, "args": []any{s}}, vars)
	})
}
