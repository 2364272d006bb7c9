package check

import "strings"

// Nearest returns the candidate that is spelled most like the word, ignoring case; the first of equals. It returns an empty
// text if none is near: a far-fetched suggestion misleads more than it helps.
func Nearest(word string, candidates []string) string {
	best, least := "", -1
	for _, c := range candidates {
		if d, near := Distance(word, c); near && (least < 0 || d < least) {
			best, least = c, d
		}
	}
	return best
}

// Distance is the Levenshtein distance of two texts, in letters, ignoring case. They are near if about a third of the
// word's letters differ at most, or if the longer one contains the shorter one of at least three letters.
func Distance(word, candidate string) (d int, near bool) {
	word, candidate = strings.ToLower(word), strings.ToLower(candidate)
	d = distance(word, candidate)
	if d <= max(1, (len([]rune(word))+1)/3) {
		return d, true
	}
	longer, shorter := word, candidate
	if len(longer) < len(shorter) {
		longer, shorter = shorter, longer
	}
	return d, len(shorter) >= 3 && strings.Contains(longer, shorter)
}

// distance is the Levenshtein distance of two texts, in letters.
func distance(a, b string) int {
	from, to := []rune(a), []rune(b)
	row := make([]int, len(to)+1)
	for j := range row {
		row[j] = j
	}
	for i, x := range from {
		diagonal := row[0]
		row[0] = i + 1
		for j, y := range to {
			cost := diagonal
			if x != y {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(to)]
}
