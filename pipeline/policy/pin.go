package policy

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"rollcall/connectors"
)

// Limits of the length of PINs (P1).
const (
	shortestPIN = 4
	longestPIN  = 16
)

// PINFloor returns the length that a generated PIN has at least where so many users are active (P2).
func PINFloor(activeUsers int) int {
	switch {
	case activeUsers < 1_000:
		return 4
	case activeUsers < 10_000:
		return 5
	case activeUsers < 100_000:
		return 6
	}
	return 7
}

// PINLength returns the length of generated PINs: the configured minimum, but not below the floor and
// within what a PIN may have (P1, P2).
func PINLength(minimum, activeUsers int) int {
	return min(max(minimum, PINFloor(activeUsers), shortestPIN), longestPIN)
}

// CheckPIN says why nobody may have a PIN, nil when it will do (P1, P3). The error does not show it.
func CheckPIN(pin string, minimum int) error {
	minimum = min(max(minimum, shortestPIN), longestPIN)
	for i := range len(pin) {
		if pin[i] < '0' || '9' < pin[i] {
			return connectors.Hint(errors.New("PIN has something else than digits [P1]"), "Give digits only.")
		}
	}
	switch {
	case len(pin) < minimum:
		return connectors.Hint(fmt.Errorf("PIN has %d digits, at least %d are needed [P1]", len(pin), minimum), "Give a longer one.")
	case len(pin) > longestPIN:
		return connectors.Hint(fmt.Errorf("PIN has %d digits, at most %d are possible [P1]", len(pin), longestPIN), "Give a shorter one.")
	case isEven(pin):
		return connectors.Hint(errors.New("digits of the PIN follow each other in even steps, like 1111, 1234 or 2468 [P3]"), "Give a less regular one.")
	}
	return nil
}

// isEven reports whether neighbouring digits have a constant difference.
func isEven(pin string) bool {
	for i := 2; i < len(pin); i++ {
		if int(pin[i])-int(pin[i-1]) != int(pin[1])-int(pin[0]) {
			return false
		}
	}
	return true
}

// ErrPINsExhausted means that every PIN of the length is in use or refused.
var ErrPINsExhausted = errors.New("no PIN is left")

// draws is how often a PIN is drawn before all that are left are gone through.
const draws = 256

// DrawPIN returns a new PIN of a user (P4): a function of the key, the user's id and the issue (how many
// PINs were drawn for the user before), so that the same log gives the same PINs. It is uniform over all PINs of
// the length that are not refused and not taken. taken is asked for each candidate.
func DrawPIN(key []byte, userID string, issue uint64, length int, taken func(pin string) (bool, error)) (string, error) {
	if length < shortestPIN || length > longestPIN {
		return "", fmt.Errorf("draw a PIN: %d digits are not between %d and %d [P1]", length, shortestPIN, longestPIN)
	}
	space := uint64(1)
	for range length {
		space *= 10
	}
	var drawn uint64
	for attempt := range uint64(draws) {
		drawn = draw(key, userID, issue, attempt, space)
		if pin, free, err := isFree(drawn, length, taken); err != nil || free {
			return pin, err
		}
	}
	return nextPIN(drawn, space, length, taken)
}

// nextPIN goes through all PINs from the last one drawn, so that the last free ones are found too.
func nextPIN(from, space uint64, length int, taken func(pin string) (bool, error)) (string, error) {
	for step := range space {
		if pin, free, err := isFree((from+step)%space, length, taken); err != nil || free {
			return pin, err
		}
	}
	return "", connectors.Hint(fmt.Errorf("%w with %d digits [P4]", ErrPINsExhausted, length), "Raise pins.minimum_length.")
}

func isFree(number uint64, length int, taken func(pin string) (bool, error)) (pin string, free bool, err error) {
	digits := strconv.FormatUint(number, 10)
	pin = "0000000000000000"[:length-len(digits)] + digits
	if isEven(pin) {
		return "", false, nil
	}
	used, err := taken(pin)
	if err != nil || used {
		return "", false, err
	}
	return pin, true, nil
}

// draw returns a number below space. What lies beyond the last whole multiple of space is drawn again,
// because it would favour small numbers.
func draw(key []byte, userID string, issue, attempt, space uint64) uint64 {
	limit := ^uint64(0) - ^uint64(0)%space
	for again := uint64(0); ; again++ {
		h := hmac.New(sha256.New, key)
		h.Write([]byte("rollcall pin\x00" + userID + "\x00"))
		var numbers [24]byte
		binary.BigEndian.PutUint64(numbers[:8], issue)
		binary.BigEndian.PutUint64(numbers[8:16], attempt)
		binary.BigEndian.PutUint64(numbers[16:], again)
		h.Write(numbers[:])
		if n := binary.BigEndian.Uint64(h.Sum(nil)); n < limit {
			return n % space
		}
	}
}
