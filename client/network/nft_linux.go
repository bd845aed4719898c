package network

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// socketRoom holds a change of some thousand rules, which is one message, and
// the kernel's answer to it.
const socketRoom = 16 << 20

func native(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

// dialRules connects to the kernel's packet filter.
func dialRules() (*nftables.Conn, error) {
	c, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
		return errors.Join(c.SetWriteBuffer(socketRoom), c.SetReadBuffer(socketRoom))
	}))
	if err != nil {
		return nil, fmt.Errorf("reach the packet filter: %w", err)
	}
	return c, nil
}

// putRules replaces all our rules by those that follow from the records, in one
// change: at no moment is there less than before or after.
func (s *settings) putRules(all []*record) error {
	c, err := dialRules()
	if err != nil {
		return err
	}
	defer func() { _ = c.CloseLasting() }()
	for _, f := range families(s) {
		t := &nftables.Table{Name: s.tableName(), Family: f.table}
		c.AddTable(t)
		c.DelTable(t)
		c.AddTable(t)
		for _, w := range s.chains(f, all) {
			addChain(c, t, w)
		}
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("write packet rules: %w", err)
	}
	return nil
}

// addChain adds a chain with its rules to the change under way.
func addChain(c *nftables.Conn, t *nftables.Table, w wantedChain) {
	chain := &nftables.Chain{Name: w.name, Table: t}
	if w.hook != nil {
		chain.Type, chain.Hooknum, chain.Priority = w.kind, w.hook, nftables.ChainPriorityRef(nftables.ChainPriority(w.priority))
	}
	c.AddChain(chain)
	for _, r := range w.rules {
		c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: r.exprs, UserData: r.mark()})
	}
}

// rulesStand reports whether our rules are as they were put.
func (s *settings) rulesStand(all []*record) (bool, error) {
	c, err := dialRules()
	if err != nil {
		return false, err
	}
	defer func() { _ = c.CloseLasting() }()
	for _, f := range families(s) {
		t := &nftables.Table{Name: s.tableName(), Family: f.table}
		for _, w := range s.chains(f, all) {
			if !chainStands(c, t, w) {
				return false, nil
			}
		}
	}
	return true, nil
}

// chainStands compares a chain's rules with the wanted ones by their marks.
func chainStands(c *nftables.Conn, t *nftables.Table, w wantedChain) bool {
	chain, err := c.ListChain(t, w.name)
	if err != nil || (chain.Hooknum == nil) != (w.hook == nil) {
		return false
	}
	rules, err := c.GetRules(t, chain)
	return err == nil && slices.EqualFunc(rules, w.rules, func(have *nftables.Rule, want wantedRule) bool {
		return bytes.Equal(have.UserData, want.mark())
	})
}

// dropRules takes all our tables away.
func (s *settings) dropRules() error {
	c, err := dialRules()
	if err != nil {
		return err
	}
	defer func() { _ = c.CloseLasting() }()
	for _, f := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6, nftables.TableFamilyNetdev} {
		t := &nftables.Table{Name: s.tableName(), Family: f}
		if _, err := c.ListTableOfFamily(t.Name, t.Family); err == nil {
			c.DelTable(t)
		}
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("take packet rules away: %w", err)
	}
	return nil
}

// putOrigin lets an allocation's cable carry only what comes from its own
// addresses.
func (s *settings) putOrigin(r *record) error {
	c, err := dialRules()
	if err != nil {
		return err
	}
	defer func() { _ = c.CloseLasting() }()
	t := c.AddTable(&nftables.Table{Name: s.tableName(), Family: nftables.TableFamilyNetdev})
	chain := c.AddChain(&nftables.Chain{
		Name: r.Link, Table: t, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookIngress,
		Priority: nftables.ChainPriorityFilter, Device: r.Link,
	})
	c.FlushChain(chain)
	for _, w := range origin(r) {
		c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: w.exprs, UserData: w.mark()})
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("write rules of cable: %w", err)
	}
	return nil
}

// originsMissing are the records whose cables carry anything.
func (s *settings) originsMissing(all []*record) ([]*record, error) {
	c, err := dialRules()
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.CloseLasting() }()
	t := &nftables.Table{Name: s.tableName(), Family: nftables.TableFamilyNetdev}
	var out []*record
	for _, r := range all {
		if r.bridged() && !chainStands(c, t, wantedChain{name: r.Link, hook: nftables.ChainHookIngress, rules: origin(r)}) {
			out = append(out, r)
		}
	}
	return out, nil
}

// dropOrigin undoes putOrigin.
func (s *settings) dropOrigin(link string) error {
	c, err := dialRules()
	if err != nil {
		return err
	}
	defer func() { _ = c.CloseLasting() }()
	t := &nftables.Table{Name: s.tableName(), Family: nftables.TableFamilyNetdev}
	chain := &nftables.Chain{Name: link, Table: t}
	if _, err := c.ListChain(t, link); err != nil {
		return nil // it went with its cable, or never was
	}
	c.FlushChain(chain)
	c.DelChain(chain)
	if err := c.Flush(); err != nil {
		return fmt.Errorf("take rules of cable away: %w", err)
	}
	return nil
}

// The chain by which iptables, and Docker with it, decides what may pass the
// node. Our word for a packet doesn't bind it, so we say it there as well.
const (
	foreignTable = "filter"
	foreignChain = "FORWARD"
)

// foreign are the rules that we put there: of a shape that iptables reads.
func (s *settings) foreign() []wantedRule {
	return []wantedRule{
		rule("pass from "+s.Bridge+" "+s.Owner, into(s.Bridge), []expr.Any{&expr.Counter{}}, accept()),
		rule("pass to "+s.Bridge+" "+s.Owner, outOf(s.Bridge), []expr.Any{&expr.Counter{}}, accept()),
	}
}

// openForeign has the chain of iptables let the bridge's packets pass; what
// mustn't, our own chains have dropped by then.
func (s *settings) openForeign() error {
	return s.eachForeign(func(c *nftables.Conn, chain *nftables.Chain, rules []*nftables.Rule) error {
		for _, w := range s.foreign() {
			if !slices.ContainsFunc(rules, func(r *nftables.Rule) bool { return bytes.Equal(r.UserData, w.mark()) }) {
				c.InsertRule(&nftables.Rule{Table: chain.Table, Chain: chain, Exprs: w.exprs, UserData: w.mark()})
			}
		}
		return nil
	})
}

// closeForeign undoes openForeign.
func (s *settings) closeForeign() error {
	return s.eachForeign(func(c *nftables.Conn, chain *nftables.Chain, rules []*nftables.Rule) error {
		for _, r := range rules {
			if !slices.ContainsFunc(s.foreign(), func(w wantedRule) bool { return bytes.Equal(r.UserData, w.mark()) }) {
				continue
			}
			if err := c.DelRule(&nftables.Rule{Table: chain.Table, Chain: chain, Handle: r.Handle}); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *settings) eachForeign(change func(*nftables.Conn, *nftables.Chain, []*nftables.Rule) error) error {
	c, err := dialRules()
	if err != nil {
		return err
	}
	defer func() { _ = c.CloseLasting() }()
	for _, f := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6} {
		table := &nftables.Table{Name: foreignTable, Family: f}
		chain, err := c.ListChain(table, foreignChain)
		if err != nil || chain.Hooknum == nil || *chain.Hooknum != *nftables.ChainHookForward {
			continue // nobody uses it
		}
		chain.Table = table
		rules, err := c.GetRules(table, chain)
		if err != nil {
			return fmt.Errorf("read rules of iptables: %w", err)
		}
		if err := change(c, chain, rules); err != nil {
			return fmt.Errorf("change rules of iptables: %w", err)
		}
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("change rules of iptables: %w", err)
	}
	return nil
}

// ruleGeneration is a number that the kernel raises with every change of the
// packet filter, by whomever.
func ruleGeneration() (uint32, error) {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return 0, fmt.Errorf("reach the packet filter: %w", err)
	}
	defer func() { _ = c.Close() }()
	answers, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETGEN), Flags: netlink.Request},
		Data:   []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, 0},
	})
	if err != nil {
		return 0, fmt.Errorf("ask the packet filter: %w", err)
	}
	for _, m := range answers {
		if len(m.Data) < 4 {
			continue
		}
		attrs, err := netlink.UnmarshalAttributes(m.Data[4:])
		if err != nil {
			return 0, fmt.Errorf("ask the packet filter: %w", err)
		}
		for _, a := range attrs {
			if a.Type == unix.NFTA_GEN_ID && len(a.Data) == 4 {
				return binaryutil.BigEndian.Uint32(a.Data), nil
			}
		}
	}
	return 0, errors.New("ask the packet filter: it doesn't tell its generation")
}
