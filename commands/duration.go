package commands

import (
	"regexp"
	"strconv"
	"time"
)

// maxDuration bounds every duration a person may name.
const maxDuration = 365 * 24 * time.Hour

var durationShape = regexp.MustCompile(`^-?(?:(\d+)(?:d|天))?(?:(\d+)(?:h|小时|个小时))?(?:(\d+)(?:m|min|分钟|分))?(?:(\d+)(?:s|秒))?$`)

// fraction is a duration people write and we do not read.
var fraction = regexp.MustCompile(`^\d+[.,]\d+(d|h|m|s|天|小时|分)`)

// duration reads 30m, 12h, 7d, 1h30m or 30分钟. meant tells whether the word is
// written like a duration at all; one that is but is not between a second and
// maxDuration gives 0.
func duration(word string) (d time.Duration, meant bool) {
	word = fold(word)
	if fraction.MatchString(word) {
		return 0, true
	}
	parts := durationShape.FindStringSubmatch(word)
	if parts == nil || word == "" || word == "-" {
		return 0, false
	}
	for i, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second} {
		if parts[i+1] == "" {
			continue
		}
		n, err := strconv.ParseInt(parts[i+1], 10, 64)
		if err != nil || n > int64(maxDuration/time.Second) {
			return 0, true
		}
		d += time.Duration(n) * min(unit, maxDuration)
		if d > maxDuration || d < 0 {
			return 0, true
		}
	}
	if word[0] == '-' {
		return 0, true
	}
	return d, true
}
