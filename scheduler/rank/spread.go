package rank

// Target scores a value of a spread with targets. want is how many allocations
// the value is to have, used how many it has. The score falls linearly from
// nearly 1 while it has none, through 0 when this placement completes it, to
// -1; a value that is to have none scores -1.
func Target(want float64, used int) float64 {
	if want <= 0 {
		return -1
	}
	return max(-1, (want-float64(used+1))/want)
}

// Even scores a value of a spread without targets, among values of which the
// least used has least allocations and the most used has most: 1 for the
// least used, -1 for the most used, 0 while all have equally many.
func Even(used, least, most int) float64 {
	if most == least {
		return 0
	}
	return 1 - 2*float64(used-least)/float64(most-least)
}
