package structs

import (
	"slices"
	"strings"
)

// Closest returns the known word that a misspelt one most likely means, or
// nothing.
func Closest(word string, known []string) string {
	best, distance := "", min(len(word)/3, 3)+1 // how far off still counts
	known = slices.Sorted(slices.Values(known))
	for _, k := range known {
		if d := EditDistance(strings.ToLower(word), k, distance); d < distance {
			best, distance = k, d
		}
	}
	return best
}

// EditDistance counts the letters to insert, delete, change or swap between
// neighbours. It gives up at limit.
func EditDistance(a, b string, limit int) int {
	if abs(len(a)-len(b)) >= limit || len(a) > 64 || len(b) > 64 {
		return limit
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}
