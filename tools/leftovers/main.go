// Command leftovers lists what an agent and its tasks occupy beyond plain files:
// processes, cgroups, mounts, network namespaces, nftables tables, containers and
// networks of the Docker engine. `leftovers -write FILE` notes it down, `leftovers
// -compare FILE` prints what is more than was noted and then ends with 1, once it
// has stayed so for a while: what is just ending is no leftover.
//
// It must not know the agent's insides, only the names that it gives. Begin reading
// at look.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// patience is how long what is just ending may take.
const patience = 15 * time.Second

func main() {
	write := flag.String("write", "", "note what is there in this file")
	compare := flag.String("compare", "", "print what is there beyond what this file notes")
	flag.Parse()
	if err := run(*write, *compare); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(write, compare string) error {
	if write != "" {
		data, err := json.MarshalIndent(look(), "", "  ")
		if err != nil {
			return fmt.Errorf("encode what is there: %w", err)
		}
		return os.WriteFile(write, data, 0o600)
	}
	if compare == "" {
		for kind, items := range look() {
			fmt.Println(kind, len(items), strings.Join(items, "\n\t"))
		}
		return nil
	}
	data, err := os.ReadFile(compare)
	if err != nil {
		return err
	}
	before := map[string][]string{}
	if err := json.Unmarshal(data, &before); err != nil {
		return fmt.Errorf("read %s: %w", compare, err)
	}
	left := beyond(before, look())
	for end := time.Now().Add(patience); len(left) > 0 && time.Now().Before(end); left = beyond(before, look()) {
		time.Sleep(time.Second)
	}
	if len(left) > 0 {
		return fmt.Errorf("the tests have left:\n  %s", strings.Join(left, "\n  "))
	}
	return nil
}

// beyond lists what is there now and wasn't before.
func beyond(before, now map[string][]string) []string {
	var out []string
	for kind, items := range now {
		for _, item := range items {
			if !slices.Contains(before[kind], item) {
				out = append(out, kind+" "+item)
			}
		}
	}
	slices.Sort(out)
	return out
}

// look lists what is there, by kind. What can't be asked for (no engine, no nft) is
// not there.
func look() map[string][]string {
	return map[string][]string{
		"process":   processes("/proc"),
		"cgroup":    slices.Concat(glob("/sys/fs/cgroup/steppe/*/"), glob("/sys/fs/cgroup/*/steppe/*/"), glob("/sys/fs/cgroup/steppe-*"), glob("/sys/fs/cgroup/*/steppe-*")),
		"mount":     mounts("/proc/self/mounts"),
		"netns":     slices.Concat(glob("/run/netns/*"), glob("/run/steppe/*/*")),
		"interface": matching(glob("/sys/class/net/*"), "steppe", "nomad"),
		"nftables":  matching(lines("nft", "list", "tables"), "steppe"),
		"container": lines("docker", "ps", "-aq", "--no-trunc"),
		"network":   lines("docker", "network", "ls", "-q", "--no-trunc"),
	}
}

// ours are command lines of agents, plugins, supervisors and of what tests make.
var ours = regexp.MustCompile(`(^|/)(steppe|steppe-task|steppe-logs|steppe-failpoints)( |$)|\bsteppe (agent|plugin|supervisor)\b|/Test[A-Z][^/ ]*/0\d\d/`)

// processes are named by number and start, so that one number is two processes.
func processes(proc string) []string {
	var out []string
	for _, dir := range glob(filepath.Join(proc, "[0-9]*")) {
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline")) // it ended meanwhile
		stat, _ := os.ReadFile(filepath.Join(dir, "stat"))
		text := strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if ours.MatchString(text) && len(fields) > 19 && fields[0] != "Z" {
			out = append(out, filepath.Base(dir)+"@"+fields[19]+" "+text)
		}
	}
	return out
}

// mounts are those in the directories of allocations and of tests.
func mounts(path string) []string {
	data, _ := os.ReadFile(path) // no such kernel
	var out []string
	for _, line := range strings.Split(string(data), "\n") {
		if strings.Contains(line, "/alloc/") || strings.Contains(line, "/Test") || strings.Contains(line, "steppe") {
			out = append(out, line)
		}
	}
	return out
}

func matching(items []string, words ...string) []string {
	return slices.DeleteFunc(items, func(item string) bool {
		return !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(item, w) })
	})
}

func glob(pattern string) []string {
	found, _ := filepath.Glob(pattern) // the patterns are ours
	return found
}

func lines(name string, args ...string) []string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return nil
	}
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
}
