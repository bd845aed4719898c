package view

import (
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	got := Table([]string{"ID", "Node ID", "Status"}, [][]string{{"a1", "n1", "running"}, {"a2", "", "bad\x1b[31m"}})
	want := "ID  Node ID  Status\na1  n1       running\na2           bad\uFFFD[31m\n"
	if got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestOneLine(t *testing.T) {
	for text, want := range map[string]string{
		"plain": "plain", "": "", "\n": "", "a\tb": "a b", "a\r\nb": "a; b", "one\n\n two\n": "one; two",
		"3 errors occurred:\n\t* Missing \"command\"\n\t* Unknown \x1b[31m\n": "3 errors occurred: Missing \"command\"; Unknown \uFFFD[31m",
	} {
		if got := OneLine(text); got != want {
			t.Errorf("OneLine(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestKeys(t *testing.T) {
	got := Keys([]Pair{{"ID", "x"}, {"Status", ""}})
	if want := "ID     = x\nStatus = <none>\n"; got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 999 * time.Millisecond: "0s", 6 * time.Second: "6s", 116 * time.Second: "1m56s",
		26*time.Hour + 3*time.Minute: "1d2h", time.Hour + time.Second: "1h1s",
	} {
		if got := Duration(d); got != want {
			t.Errorf("Duration(%s) = %s, want %s", d, got, want)
		}
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 18 << 20: "18 MiB", 1536: "1.5 KiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestAgo(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	if got := Ago(now.Add(-6*time.Second), now, false); got != "6s ago" {
		t.Error(got)
	}
	if got := Ago(now, now, true); got != "2030-01-02T03:04:05Z" {
		t.Error(got)
	}
	if got := Ago(time.Time{}, now, false); got != "N/A" {
		t.Error(got)
	}
}
