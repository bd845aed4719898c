package chance

import "fmt"

func (w *writer) node() string { return fmt.Sprint("node-", 1+w.random.IntN(w.nodes)) }

func (w *writer) server() string {
	if w.maybe(50) {
		return "leader"
	}
	return fmt.Sprint("server-", 1+w.random.IntN(w.servers))
}

func (w *writer) nodeFault() {
	n := w.node()
	switch w.random.IntN(12) {
	case 0, 1:
		w.line("try %s dies", n)
	case 2:
		w.line("try agent of %s dies", n)
	case 3, 4, 5:
		w.line("try %s returns", n)
	case 6:
		w.line("try %s returns empty", n)
	case 7:
		w.line("try %s freezes", n)
	case 8:
		w.line("try %s thaws", n)
	case 9:
		w.line("try agent of %s dies %s write %d", n, w.words("before", "after"), 1+w.random.IntN(12))
	case 10:
		w.line("try disk of %s is full", n)
	case 11:
		w.line("try disk of %s has room", n)
	}
}

func (w *writer) serverFault() {
	s := w.server()
	switch w.random.IntN(12) {
	case 0, 1:
		w.line("try %s dies", s)
	case 2:
		w.line("try %s dies in %d entries", s, 1+w.random.IntN(10))
	case 3, 4, 5:
		w.line("try server-%d returns", 1+w.random.IntN(w.servers))
	case 6, 7:
		w.line("try leader moves")
	case 8:
		w.line("try %s takes a snapshot", s)
	case 9:
		w.line("try %s %s", s, w.words("freezes", "thaws"))
	case 10:
		w.line("try clock of %s is %s %s", s, w.words("2s", "90s", "20m", "1h"), w.words("ahead", "behind"))
	case 11: // and right again
		w.line("try clock of %s is 0s ahead", s)
	}
}

func (w *writer) networkFault() {
	who := w.node()
	if w.maybe(50) {
		who = w.server()
	}
	switch w.random.IntN(6) {
	case 0:
		w.line("try %s is cut off", who)
	case 1:
		w.line("try %s can't send", who)
	case 2:
		w.line("try %s can't receive", who)
	case 3:
		w.line("try server-%d and %s are cut", 1+w.random.IntN(w.servers), w.node())
	case 4:
		w.line("try messages are late %d by %s", w.pick(5, 50, 300), w.words("100ms", "3s", "15s"))
	case 5:
		w.line("try first %d nodes are cut off", 1+w.random.IntN(w.nodes))
	}
}

func (w *writer) taskFault() {
	switch w.random.IntN(7) {
	case 0, 1, 2:
		w.line("try a task of %s fails", w.some().name)
	case 3:
		w.line("try a task of %s ends", w.some().name)
	case 4:
		w.line("try %s is unhealthy", w.some().name)
	case 5:
		w.line("try %s is healthy", w.some().name)
	case 6:
		w.line("try %s %s", w.node(), w.words("can't start tasks", "can start tasks"))
	}
}

func (w *writer) drain() {
	n := w.node()
	leaving := ""
	if w.maybe(30) {
		leaving = " leaving system jobs"
	}
	switch w.random.IntN(6) {
	case 0:
		w.line("try drain %s%s", n, leaving)
	case 1, 2:
		w.line("try drain %s within %s%s", n, w.words("10s", "1m", "10m"), leaving)
	case 3:
		w.line("try drain %s now%s", n, leaving)
	case 4:
		w.line("try drain of %s %s", n, w.words("ends", "ends", "is cancelled"))
	case 5:
		w.line("try %s is %s", n, w.words("eligible", "eligible", "ineligible"))
	}
}

// nodeChange is what people do to a cluster's nodes.
func (w *writer) nodeChange() {
	const most = 9
	switch w.random.IntN(4) {
	case 0:
		if w.nodes < most {
			w.nodes++
			w.line("try node-%d joins rack=r%d", w.nodes, 1+w.random.IntN(2))
		}
	case 1, 2:
		w.line("try %s has rack=r%d", w.node(), 1+w.random.IntN(3))
	case 3:
		w.line("try the brake is released")
	}
}

func (w *writer) preemption() {
	w.line("try preemption of %s jobs is %s", w.words("service", "batch", "system", "sysbatch"), w.words("on", "on", "off"))
}
