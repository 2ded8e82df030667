package password

import (
	_ "embed"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// common.txt lists the most common passwords and their parts: words, names, phrases and strings, folded, separated by
// white space.
//
//go:embed common.txt
var commonText string

// commonWords is the list as a set, made at the first use.
var commonWords = sync.OnceValue(func() map[string]bool {
	set := make(map[string]bool, 4096)
	for line := range strings.Lines(commonText) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		for _, word := range strings.Fields(line) {
			set[word] = true
		}
	}
	return set
})

// samples are passwords from documentation, example files and placeholders, letters only. They are searched for
// anywhere in a password, so the list has only texts that nobody would choose independently.
var samples = []string{
	"changeme", "changethis", "changeit", "pleasechange", "replaceme", "replacethis", "replacewith",
	"yourpassword", "youradminpassword", "yourownpassword", "yoursecret", "yourstrongpassword", "yoursecurepassword",
	"passwordhere", "passwordgoeshere", "secrethere", "placeholder", "examplepassword", "passwordexample",
	"samplepassword", "defaultpassword", "insertpassword", "enterpassword", "chooseapassword", "pickapassword",
	"putapassword", "setapassword", "typeapassword",
}

// maxTrivial is how many digits and symbols around a word add no strength: all combinations are tried within minutes.
const maxTrivial = 6

// maxGuessable is the length in characters beyond which a password is not checked: no list or rule makes guesses that
// long.
const maxGuessable = 64

// checkGuessable refuses passwords that are guessed first: samples, the user's own names, and common ones. Attackers
// vary words by rules (case, appended digits, look-alikes, repetition); the same rules are undone here.
func checkGuessable(password string, context []string) error {
	folded := strings.ToLower(norm.NFKC.String(password))
	if isSample(folded) {
		return &PolicyError{ReasonSample, "This is a sample from an example. Choose a password of your own."}
	}
	if utf8.RuneCountInString(folded) > maxGuessable {
		return nil
	}
	contextual := contextWords(context)
	listed := commonWords()
	for core := range cores(folded) {
		if contextual[squash(core)] || contextual[unrepeat(squash(core))] {
			return &PolicyError{
				ReasonContext,
				"Choose something other than your name, your e-mail address or the name of this site.",
			}
		}
		if isListed(listed, core) {
			return errCommon()
		}
	}
	if isPredictable(folded) || isPredictable(squash(folded)) {
		return errCommon()
	}
	return nil
}

func errCommon() error {
	return &PolicyError{
		ReasonCommon,
		"This password is among the first that attackers try. Choose another one, for example four random words.",
	}
}

// isListed reports whether s is a listed word, or repeats one, with or without separators.
func isListed(listed map[string]bool, s string) bool {
	if listed[s] {
		return true
	}
	joined := squash(s)
	unit := unrepeat(joined)
	// Some listed words are repetitions themselves ("bazbaz"), so twice the shortest unit is looked up, too.
	return unit != joined && (listed[unit] || listed[unit+unit])
}

// isSample reports whether a password contains a sample: the rest of it is probably from the same example.
func isSample(folded string) bool {
	plain := lettersOnly(folded)
	leet := lettersOnly(unleet(folded, 'i'))
	return slices.ContainsFunc(samples, func(sample string) bool {
		return strings.Contains(plain, sample) || strings.Contains(leet, sample)
	})
}

// contextWords returns the folded context words, and the parts of e-mail addresses. Words of fewer than three
// characters are left out: they would refuse too much.
func contextWords(context []string) map[string]bool {
	words := make(map[string]bool, 2*len(context))
	add := func(s string) {
		if utf8.RuneCountInString(s) >= 3 {
			words[s] = true
		}
	}
	for _, word := range context {
		word = strings.ToLower(norm.NFKC.String(word))
		add(squash(word))
		add(unrepeat(squash(word)))
		add(lettersOnly(word))
		if local, _, found := strings.Cut(word, "@"); found {
			add(squash(local))
			add(lettersOnly(local))
		}
	}
	return words
}

// cores yields candidates for the word within a password: with symbols, or digits and symbols, trimmed from either end,
// if they are few or predictable, and with look-alikes replaced by letters. '1' and '!' stand for i as well as for l.
func cores(folded string) func(yield func(string) bool) {
	symbol := func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }
	other := func(r rune) bool { return !unicode.IsLetter(r) }
	var begins, ends []int
	for _, cut := range []func(rune) bool{func(rune) bool { return false }, symbol, other} {
		begins = append(begins, len(folded)-len(strings.TrimLeftFunc(folded, cut)))
		ends = append(ends, len(strings.TrimRightFunc(folded, cut)))
	}
	begins, ends = slices.Compact(begins), slices.Compact(ends)
	return func(yield func(string) bool) {
		for _, from := range begins {
			for _, to := range ends {
				if from >= to || !isTrivial(folded[:from], folded[to:]) {
					continue
				}
				core := folded[from:to]
				if !yield(core) || !yield(unleet(core, 'i')) || !yield(unleet(core, 'l')) {
					return
				}
			}
		}
	}
}

// isTrivial reports whether a prefix and a suffix of a word add no strength.
func isTrivial(before, after string) bool {
	n := utf8.RuneCountInString(before) + utf8.RuneCountInString(after)
	if n <= maxTrivial {
		return true
	}
	simple := func(s string) bool { return len(s) <= 2 || isPredictable(s) }
	return simple(before) && simple(after)
}

// unleet replaces look-alikes by letters.
func unleet(s string, one rune) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '4', '@':
			return 'a'
		case '8':
			return 'b'
		case '3', '€':
			return 'e'
		case '9', '6':
			return 'g'
		case '1', '!', '|':
			return one
		case '0':
			return 'o'
		case '5', '$':
			return 's'
		case '7', '+':
			return 't'
		}
		return r
	}, s)
}

// squash drops everything but letters and digits.
func squash(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, s)
}

// lettersOnly drops everything but letters.
func lettersOnly(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) {
			return r
		}
		return -1
	}, s)
}

// unrepeat returns the shortest unit that s repeats, s itself when it repeats none.
func unrepeat(s string) string {
	if s == "" {
		return s
	}
	// The shortest period of s is where s is first found again within itself.
	period := strings.Index(s[1:]+s, s) + 1
	return s[:period]
}

// walks are sequences along a keyboard, the alphabet and the digits.
var walks = sync.OnceValue(func() string {
	lines := []string{
		"abcdefghijklmnopqrstuvwxyz", "01234567890", "1234567890-=", "`1234567890", "02468", "13579",
		"qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./", "qwertzuiopü+", "asdfghjklöä#", "yxcvbnm,.-",
		"azertyuiop", "qsdfghjklm", "wxcvbn", "йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю",
		"1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/", "zaq12wsxcde34rfvbgt56yhnmju78ik,", "qazwsxedcrfvtgbyhnujmikolp",
		"1q2w3e4r5t6y7u8i9o0p", "q1w2e3r4t5y6u7i8o9p0", "a1s2d3f4g5h6j7k8l9", "a1b2c3d4e5f6g7h8i9j0", "1a2b3c4d5e6f7g8h9i0j",
		"qweasdzxc", "qwe123asd456zxc789", "123qweasdzxc", "147258369", "741852963", "789456123", "159357", "123654789",
		"112233445566778899", "aabbccddeeffgg", "111222333444555666777888999",
	}
	var all strings.Builder
	for _, line := range lines {
		backwards := []rune(line)
		slices.Reverse(backwards)
		all.WriteString(line + "\n" + string(backwards) + "\n")
	}
	return all.String()
})

// isPredictable reports whether a string is made of patterns: few different characters, a repeated short unit, keyboard
// walks, dates and years.
func isPredictable(s string) bool {
	if s == "" {
		return false // nothing is left after trimming: the untrimmed text is checked by itself
	}
	distinct := make(map[rune]bool)
	for _, r := range s {
		distinct[r] = true
	}
	unit := unrepeat(s)
	repeats := len(s) / max(len(unit), 1)
	return len(distinct) <= 3 || (repeats > 1 && utf8.RuneCountInString(unit) <= 4) ||
		isWalk(s) || isWalk(unshift(s)) || isDates(s)
}

// unshift replaces the symbols above the digits by digits: !QAZ2wsx is a keyboard walk, too.
func unshift(s string) string {
	const symbols, digits = "!@#$%^&*()", "1234567890"
	return strings.Map(func(r rune) rune {
		if i := strings.IndexRune(symbols, r); i >= 0 {
			return rune(digits[i])
		}
		return r
	}, s)
}

// isWalk reports whether walks of at least three steps, and single characters repeated as often, cover all but two
// characters.
func isWalk(s string) bool {
	text := []rune(s)
	missed, covered := 0, 0
	for i := 0; i < len(text); {
		n := walkFrom(text[i:])
		if n < 3 {
			missed++
			i++
			continue
		}
		covered += n
		i += n
	}
	return covered > 0 && missed <= 2
}

// walkFrom returns how many characters the longest walk at the beginning of text has.
func walkFrom(text []rune) int {
	same := 1
	for same < len(text) && text[same] == text[0] {
		same++
	}
	n := 2
	for n < len(text) && strings.Contains(walks(), string(text[:n+1])) {
		n++
	}
	if n == 2 {
		n = 0
	}
	return max(same, n)
}

// isDates reports whether s is a date (20240131, 31012024, 01312024) or a sequence of years.
func isDates(s string) bool {
	digits := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		if strings.ContainsRune("-./ ", r) {
			return -1
		}
		return 'x'
	}, s)
	if digits == "" || len(digits)%4 != 0 || strings.Contains(digits, "x") {
		return false
	}
	years := true
	for i := 0; i < len(digits); i += 4 {
		years = years && isYear(digits[i:i+4])
	}
	if years || len(digits) != 8 {
		return years
	}
	return isYear(digits[:4]) && isMonthDay(digits[4:]) || isYear(digits[4:]) && isMonthDay(digits[:4])
}

func isYear(s string) bool { return s >= "1900" && s <= "2099" }

// isMonthDay reports whether s is a month and a day, in either order.
func isMonthDay(s string) bool {
	a, _ := strconv.Atoi(s[:2])
	b, _ := strconv.Atoi(s[2:])
	return a >= 1 && b >= 1 && a <= 31 && b <= 31 && (a <= 12 || b <= 12)
}
