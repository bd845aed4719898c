package function

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // version 5 UUIDs are defined by it
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"golang.org/x/crypto/bcrypt"
)

func cryptoFunctions() map[string]function.Function {
	return map[string]function.Function{
		"bcrypt":     bcryptFunc(),
		"rsadecrypt": rsaDecryptFunc(),
		"sha256":     textFunc(func(s string) (string, error) { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]), nil }),
		"sha512":     textFunc(func(s string) (string, error) { h := sha512.Sum512([]byte(s)); return hex.EncodeToString(h[:]), nil }),
		"uuidv4":     uuid4Func(),
		"uuidv5":     uuid5Func(),
	}
}

func base64Encode(s string) (string, error) {
	return base64.StdEncoding.EncodeToString([]byte(s)), nil
}

func base64Decode(s string) (string, error) {
	out, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return "", errors.New("is not base64")
	}
	if !utf8.Valid(out) {
		return "", errors.New("is base64 of bytes that are no UTF-8 text")
	}
	return string(out), nil
}

func urlEncode(s string) (string, error) { return url.QueryEscape(s), nil }

const (
	defaultBcryptCost = 10
	maxBcryptCost     = 12 // higher ones take seconds
)

func bcryptFunc() function.Function {
	return function.New(&function.Spec{
		Params:   []function.Parameter{{Name: "text", Type: cty.String}},
		VarParam: &function.Parameter{Name: "cost", Type: cty.Number},
		Type:     function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if len(args) > 2 {
				return cty.NilVal, function.NewArgErrorf(2, "bcrypt takes a text and a cost")
			}
			if len(args) == 2 && !args[1].RawEquals(cty.NumberIntVal(int64(bcryptCost(args)))) {
				return cty.NilVal, function.NewArgErrorf(1, "must be from %d to %d", bcrypt.MinCost, maxBcryptCost)
			}
			out, err := bcrypt.GenerateFromPassword([]byte(args[0].AsString()), bcryptCost(args))
			if err != nil {
				return cty.NilVal, function.NewArgError(0, err)
			}
			return cty.StringVal(string(out)), nil
		},
	})
}

// bcryptCost is the cost that is asked for, or the nearest that is allowed.
func bcryptCost(args []cty.Value) int {
	if len(args) < 2 || !args[1].IsKnown() || args[1].IsNull() || args[1].Type() != cty.Number {
		return defaultBcryptCost
	}
	cost, _ := args[1].AsBigFloat().Int64()
	return int(min(max(cost, int64(bcrypt.MinCost)), maxBcryptCost))
}

// maxKeyBytes is far above the PEM of any key in use.
const maxKeyBytes = 16 << 10

func rsaDecryptFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "ciphertext", Type: cty.String}, {Name: "privatekey", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			secret, err := base64.StdEncoding.DecodeString(args[0].AsString())
			if err != nil {
				return cty.NilVal, function.NewArgErrorf(0, "is not base64")
			}
			key, err := parseKey(args[1].AsString())
			if err != nil {
				return cty.NilVal, function.NewArgError(1, err)
			}
			out, err := rsa.DecryptPKCS1v15(nil, key, secret) //nolint:staticcheck // the function is defined by this padding
			if err != nil {
				return cty.NilVal, function.NewArgErrorf(0, "can't be decrypted with this key")
			}
			return cty.StringVal(string(out)), nil
		},
	})
}

func parseKey(text string) (*rsa.PrivateKey, error) {
	if len(text) > maxKeyBytes {
		return nil, errors.New("is too long for a key")
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("is not a key in PEM form")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if key, ok := any.(*rsa.PrivateKey); err == nil && ok {
		return key, nil
	}
	return nil, errors.New("is not an RSA private key")
}

func uuid4Func() function.Function {
	return function.New(&function.Spec{
		Type: function.StaticReturnType(cty.String),
		Impl: func([]cty.Value, cty.Type) (cty.Value, error) {
			var b [16]byte
			_, _ = rand.Read(b[:]) // crypto/rand.Read never returns an error since Go 1.24
			return cty.StringVal(formatUUID(b, 4)), nil
		},
	})
}

func uuid5Func() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "namespace", Type: cty.String}, {Name: "name", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			space, err := namespaceUUID(args[0].AsString())
			if err != nil {
				return cty.NilVal, function.NewArgError(0, err)
			}
			sum := sha1.Sum(append(space[:], args[1].AsString()...)) //nolint:gosec // see the import
			return cty.StringVal(formatUUID([16]byte(sum[:16]), 5)), nil
		},
	})
}

// namespaceUUID returns one of the namespaces of RFC 9562, or a UUID.
func namespaceUUID(s string) ([16]byte, error) {
	const wellKnown = "6ba7b81%c-9dad-11d1-80b4-00c04fd430c8"
	switch s {
	case "dns":
		s = fmt.Sprintf(wellKnown, '0')
	case "url":
		s = fmt.Sprintf(wellKnown, '1')
	case "oid":
		s = fmt.Sprintf(wellKnown, '2')
	case "x500":
		s = fmt.Sprintf(wellKnown, '4')
	}
	var out [16]byte
	if len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' {
		b, err := hex.DecodeString(s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:])
		if err == nil {
			copy(out[:], b)
			return out, nil
		}
	}
	return out, errors.New("must be dns, url, oid, x500 or a UUID")
}

func formatUUID(b [16]byte, version byte) string {
	b[6] = b[6]&0x0f | version<<4
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
