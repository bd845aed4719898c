package dns

import (
	"net"
	"strings"
	"unicode/utf8"
)

// The words in names below the domain.
const (
	labelService = "service"
	labelAddr    = "addr"
)

// question is what a name asks for.
type question struct {
	namespace, name, tag string
	// addr is set where the name is that of one address, as answers of SRV have it.
	addr net.IP
}

// parse reads what comes before the domain, in lower case and without the last
// dot: NAME.service, TAG.NAME.service, NAME.service.NAMESPACE,
// TAG.NAME.service.NAMESPACE, _NAME._tcp.service, _NAME._TAG.service (each also
// with a namespace), and HEX.addr.
func parse(rest string) (question, bool) {
	labels := strings.Split(rest, ".")
	if len(labels) == 2 && labels[1] == labelAddr {
		ip := parseAddr(labels[0])
		return question{addr: ip}, ip != nil
	}
	q := question{namespace: defaultNamespace}
	at := len(labels) - 1
	if at >= 2 && labels[at] != labelService && labels[at-1] == labelService {
		q.namespace = labels[at]
		at--
	}
	if at < 1 || at > 2 || labels[at] != labelService {
		return question{}, false
	}
	labels = labels[:at]
	if len(labels) == 2 && strings.HasPrefix(labels[0], "_") && strings.HasPrefix(labels[1], "_") {
		q.name, q.tag = labels[0][1:], labels[1][1:]
		if q.tag == "tcp" || q.tag == "udp" {
			q.tag = "" // a protocol, as RFC 2782 has it
		}
		return q, q.name != ""
	}
	q.name = labels[len(labels)-1]
	if len(labels) == 2 {
		q.tag = labels[0]
	}
	return q, q.name != "" && (len(labels) == 1 || q.tag != "")
}

// lower is a name in lower case, as all names are compared. Names that aren't
// text are nobody's.
func lower(name string) (string, bool) {
	if !utf8.ValidString(name) {
		return "", false
	}
	return strings.ToLower(strings.TrimSuffix(name, ".")), true
}

const hexDigits = "0123456789abcdef"

// addrLabel is an address as a label.
func addrLabel(ip net.IP) string {
	if v4 := ip.To4(); v4 != nil {
		ip = v4
	}
	out := make([]byte, 0, 2*len(ip))
	for _, b := range ip {
		out = append(out, hexDigits[b>>4], hexDigits[b&15])
	}
	return string(out)
}

// parseAddr is the address of a label, nil if it is none.
func parseAddr(label string) net.IP {
	if len(label) != 2*net.IPv4len && len(label) != 2*net.IPv6len {
		return nil
	}
	ip := make(net.IP, len(label)/2)
	for i := range label {
		digit := strings.IndexByte(hexDigits, label[i])
		if digit < 0 {
			return nil
		}
		ip[i/2] = ip[i/2]<<4 | byte(digit)
	}
	return ip
}
