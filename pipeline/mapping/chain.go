package mapping

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"rollcall/connectors"
)

// command is one link of a card transformation (K2).
type command struct {
	// name is "hex2dec()", as messages show it.
	name  string
	apply func(string) (string, error)
}

// maxWidth is the largest number that a command takes: no card is longer.
const maxWidth = 255

// transform sends a value through the chain. The error names the command that could not take it.
func transform(chain []command, value string) (string, error) {
	for _, c := range chain {
		next, err := c.apply(value)
		if err != nil {
			return "", fmt.Errorf("%s %w; left out [K3]", c.name, err)
		}
		value = next
	}
	return value, nil
}

func compileChain(commands []string) ([]command, error) {
	var chain []command
	var all []error
	for _, text := range commands {
		c, err := compileCommand(text)
		if err != nil {
			all = append(all, hinted(fmt.Errorf("transform %q: %w", text, err), err))
			continue
		}
		chain = append(chain, c)
	}
	return chain, errors.Join(all...)
}

// compileCommand reads "name(arguments)".
func compileCommand(text string) (command, error) {
	text = strings.TrimSpace(text)
	name, rest, open := strings.Cut(text, "(")
	arguments, closed := strings.CutSuffix(rest, ")")
	if !open || !closed {
		return command{}, connectors.Hint(errors.New("a command is written name(arguments)"), `transform: ["hex2dec()", "lpad(10,0)"]`)
	}
	apply, err := commandOf(strings.ToLower(strings.TrimSpace(name)), arguments)
	return command{text, apply}, err
}

// commandOf returns what a command does (K2, K3).
func commandOf(name, arguments string) (func(string) (string, error), error) {
	switch name {
	case "ltrim", "rtrim", "left", "right":
		n, err := numbers(arguments, 1)
		if err != nil {
			return nil, err
		}
		return cutter(name, n[0]), nil
	case "mid":
		n, err := numbers(arguments, 2)
		if err != nil {
			return nil, err
		}
		return func(s string) (string, error) { return strip(s, n[0], n[1]) }, nil
	case "lpad":
		return padder(arguments)
	case "prepend", "append":
		return joiner(name, arguments)
	}
	apply, ok := conversions(name)
	switch {
	case !ok:
		return nil, connectors.Hint(fmt.Errorf("there is no command %q", name), "one of ltrim, rtrim, prepend, append, left, right, mid, lpad, "+
			"hex2dec, dec2hex, hex2bin, bin2hex, dec2bin, bin2dec, reverse, nibble_reverse")
	case strings.TrimSpace(arguments) != "":
		return nil, fmt.Errorf("%s() takes no arguments", name)
	}
	return apply, nil
}

// numbers reads exactly count numbers.
func numbers(arguments string, count int) ([]int, error) {
	parts := strings.Split(arguments, ",")
	if len(parts) != count {
		return nil, fmt.Errorf("it takes %s, not %q", map[int]string{1: "one number", 2: "two numbers"}[count], arguments)
	}
	var all []int
	for _, part := range parts {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || n < 0 || n > maxWidth {
			return nil, fmt.Errorf("%q is no number from 0 to %d", part, maxWidth)
		}
		all = append(all, n)
	}
	return all, nil
}

func cutter(name string, n int) func(string) (string, error) {
	switch name {
	case "ltrim":
		return func(s string) (string, error) { return strip(s, n, 0) }
	case "rtrim":
		return func(s string) (string, error) { return strip(s, 0, n) }
	case "left":
		return func(s string) (string, error) { return s[:offset(s, n)], nil }
	}
	return func(s string) (string, error) { return s[offset(s, max(0, utf8.RuneCountInString(s)-n)):], nil }
}

// strip takes characters away at both ends and refuses to leave nothing.
func strip(s string, left, right int) (string, error) {
	count := utf8.RuneCountInString(s)
	if left+right >= count {
		return "", fmt.Errorf("leaves nothing of %d characters", count)
	}
	return s[offset(s, left):offset(s, count-right)], nil
}

// offset is where the character number n begins, the length of s when there are fewer.
func offset(s string, n int) int {
	for i := range s {
		if n == 0 {
			return i
		}
		n--
	}
	return len(s)
}

func padder(arguments string) (func(string) (string, error), error) {
	width, with, ok := strings.Cut(arguments, ",")
	n, err := numbers(width, 1)
	if with != " " {
		with = strings.TrimSpace(with)
	}
	if !ok || err != nil || utf8.RuneCountInString(with) != 1 {
		return nil, fmt.Errorf("it takes a number from 0 to %d and one character, not %q", maxWidth, arguments)
	}
	padding := strings.Repeat(with, n[0])
	return func(s string) (string, error) {
		missing := max(0, n[0]-utf8.RuneCountInString(s))
		return padding[:missing*len(with)] + s, nil
	}, nil
}

func joiner(name, text string) (func(string) (string, error), error) {
	switch {
	case text == "":
		return nil, fmt.Errorf("%s needs a text", name)
	case len(text) > maxWidth || !isText(text):
		return nil, fmt.Errorf("%s takes a text of up to %d bytes without control characters", name, maxWidth)
	case name == "prepend":
		return func(s string) (string, error) { return text + s, nil }, nil
	}
	return func(s string) (string, error) { return s + text, nil }, nil
}

func isText(s string) bool {
	_, err := clean(s, "")
	return err == nil
}

// conversions are the commands without arguments.
func conversions(name string) (func(string) (string, error), bool) {
	switch name {
	case "hex2dec":
		return converter(16, 10), true
	case "dec2hex":
		return converter(10, 16), true
	case "hex2bin":
		return converter(16, 2), true
	case "bin2hex":
		return converter(2, 16), true
	case "dec2bin":
		return converter(10, 2), true
	case "bin2dec":
		return converter(2, 10), true
	case "reverse":
		return reverse, true
	case "nibble_reverse":
		return nibbleReverse, true
	}
	return nil, false
}

// converter writes a number in another base: any size, hexadecimal digits in capitals.
func converter(from, to int) func(string) (string, error) {
	return func(s string) (string, error) {
		if err := digits(s, from); err != nil {
			return "", err
		}
		if n, err := strconv.ParseUint(s, from, 64); err == nil {
			return strings.ToUpper(strconv.FormatUint(n, to)), nil
		}
		n, ok := new(big.Int).SetString(s, from)
		if !ok {
			return "", fmt.Errorf("takes numbers in base %d only", from)
		}
		return strings.ToUpper(n.Text(to)), nil
	}
}

// digits reports what is not a digit of the base in s.
func digits(s string, base int) error {
	bad := s == ""
	for i := range len(s) {
		bad = bad || nibble(s[i]) >= base
	}
	switch {
	case !bad:
		return nil
	case base == 2:
		return errors.New("takes the digits 0 and 1 only")
	case base == 10:
		return errors.New("takes decimal digits only")
	}
	return errors.New("takes hexadecimal digits only")
}

// nibble is the value of a hexadecimal digit, 16 for other characters.
func nibble(b byte) int {
	switch {
	case '0' <= b && b <= '9':
		return int(b - '0')
	case 'a' <= b && b <= 'f':
		return int(b-'a') + 10
	case 'A' <= b && b <= 'F':
		return int(b-'A') + 10
	}
	return 16
}

const hexadecimal = "0123456789ABCDEF"

// reverse turns the order of the bytes of a hexadecimal number.
func reverse(s string) (string, error) {
	if err := digits(s, 16); err != nil {
		return "", err
	}
	if len(s)%2 != 0 {
		return "", errors.New("takes an even number of digits only")
	}
	b := make([]byte, 0, len(s))
	for i := len(s) - 2; i >= 0; i -= 2 {
		b = append(b, hexadecimal[nibble(s[i])], hexadecimal[nibble(s[i+1])])
	}
	return string(b), nil
}

// nibbleReverse turns the order of the bits inside each hexadecimal digit.
func nibbleReverse(s string) (string, error) {
	const turned = "084C2A6E195D3B7F"
	if err := digits(s, 16); err != nil {
		return "", err
	}
	b := make([]byte, len(s))
	for i := range b {
		b[i] = turned[nibble(s[i])]
	}
	return string(b), nil
}
