package function

import (
	"fmt"
	"math/big"
	"net"
	"net/netip"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

func networkFunctions() map[string]function.Function {
	prefix := function.Parameter{Name: "prefix", Type: cty.String}
	return map[string]function.Function{
		"cidrhost": netFunc([]function.Parameter{prefix, {Name: "hostnum", Type: cty.Number}},
			func(p netip.Prefix, args []cty.Value) (string, error) {
				n, err := whole(args[1])
				if err != nil {
					return "", err
				}
				a, err := host(p, n)
				return a.String(), err
			}),
		"cidrnetmask": netFunc([]function.Parameter{prefix},
			func(p netip.Prefix, _ []cty.Value) (string, error) {
				if !p.Addr().Is4() {
					return "", fmt.Errorf("IPv6 networks have no mask")
				}
				return net.IP(net.CIDRMask(p.Bits(), 32)).String(), nil
			}),
		"cidrsubnet": netFunc([]function.Parameter{prefix, {Name: "newbits", Type: cty.Number}, {Name: "netnum", Type: cty.Number}},
			func(p netip.Prefix, args []cty.Value) (string, error) {
				bits, err := whole(args[1])
				if err != nil {
					return "", err
				}
				num, err := whole(args[2])
				if err != nil {
					return "", err
				}
				s, err := subnet(p, bits, num)
				return s.String(), err
			}),
		"cidrsubnets": cidrSubnetsFunc(),
	}
}

func netFunc(params []function.Parameter, f func(netip.Prefix, []cty.Value) (string, error)) function.Function {
	return function.New(&function.Spec{
		Params: params,
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			p, err := netip.ParsePrefix(args[0].AsString())
			if err != nil {
				return cty.NilVal, function.NewArgErrorf(0, "must be a network such as 10.0.0.0/16")
			}
			out, err := f(p.Masked(), args)
			if err != nil {
				return cty.NilVal, err
			}
			return cty.StringVal(out), nil
		},
	})
}

func whole(v cty.Value) (*big.Int, error) {
	f := v.AsBigFloat()
	if !f.IsInt() || f.MantExp(nil) > 256 {
		return nil, fmt.Errorf("%s is not a whole number of a fitting size", f.Text('g', 10))
	}
	n, _ := f.Int(nil)
	return n, nil
}

// host returns the n-th address of a network; negative numbers count from the
// end.
func host(p netip.Prefix, n *big.Int) (netip.Addr, error) {
	free := uint(p.Addr().BitLen() - p.Bits())
	size := new(big.Int).Lsh(big.NewInt(1), free)
	at := new(big.Int).Set(n)
	if n.Sign() < 0 {
		at.Add(size, n)
	}
	if at.Sign() < 0 || at.Cmp(size) >= 0 {
		return netip.Addr{}, fmt.Errorf("%s has no address number %s", p, n)
	}
	return offset(p.Addr(), at), nil
}

// subnet returns the num-th of the networks that newBits more bits make of p.
func subnet(p netip.Prefix, newBits, num *big.Int) (netip.Prefix, error) {
	total := p.Addr().BitLen()
	if newBits.Sign() < 0 || newBits.Cmp(big.NewInt(int64(total-p.Bits()))) > 0 {
		return netip.Prefix{}, fmt.Errorf("%s can't be extended by %s bits", p, newBits)
	}
	bits := uint(newBits.Int64())
	if num.Sign() < 0 || num.BitLen() > int(bits) {
		return netip.Prefix{}, fmt.Errorf("%s bits can't number %s networks", newBits, num)
	}
	length := p.Bits() + int(bits)
	at := new(big.Int).Lsh(num, uint(total-length))
	return netip.PrefixFrom(offset(p.Addr(), at), length), nil
}

func offset(a netip.Addr, by *big.Int) netip.Addr {
	sum := new(big.Int).Add(new(big.Int).SetBytes(a.AsSlice()), by)
	out, _ := netip.AddrFromSlice(sum.FillBytes(make([]byte, a.BitLen()/8)))
	return out
}

func cidrSubnetsFunc() function.Function {
	return function.New(&function.Spec{
		Params:   []function.Parameter{{Name: "prefix", Type: cty.String}},
		VarParam: &function.Parameter{Name: "newbits", Type: cty.Number},
		Type:     function.StaticReturnType(cty.List(cty.String)),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			p, err := netip.ParsePrefix(args[0].AsString())
			if err != nil {
				return cty.NilVal, function.NewArgErrorf(0, "must be a network such as 10.0.0.0/16")
			}
			p = p.Masked()
			next := new(big.Int) // offset of the first address that is free
			out := []cty.Value{}
			for _, a := range args[1:] {
				bits, err := whole(a)
				if err != nil {
					return cty.NilVal, err
				}
				free := p.Addr().BitLen() - p.Bits()
				if bits.Sign() < 1 || bits.Cmp(big.NewInt(int64(free))) > 0 {
					return cty.NilVal, fmt.Errorf("%s can't be extended by %s bits", p, bits)
				}
				length := p.Bits() + int(bits.Int64())
				size := new(big.Int).Lsh(big.NewInt(1), uint(p.Addr().BitLen()-length))
				over := new(big.Int).Mod(next, size)
				if over.Sign() > 0 { // a network begins at a multiple of its size
					next.Add(next, size).Sub(next, over)
				}
				if new(big.Int).Add(next, size).BitLen() > free+1 || new(big.Int).Add(next, size).Cmp(new(big.Int).Lsh(big.NewInt(1), uint(free))) > 0 {
					return cty.NilVal, fmt.Errorf("%s has no room for a network of /%d more", p, length)
				}
				out = append(out, cty.StringVal(netip.PrefixFrom(offset(p.Addr(), next), length).String()))
				next.Add(next, size)
			}
			if len(out) == 0 {
				return cty.ListValEmpty(cty.String), nil
			}
			return cty.ListVal(out), nil
		},
	})
}
