package pipeline

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
)

// numbersHeader names the records whose changes a message of CHANGES carries: "1-400,407".
const numbersHeader = "Rollcall-Numbers"

// changeBatch collects mapped changes of one run into one message. The message is the encoded changes, each
// behind its length in four bytes.
type changeBatch struct {
	numbers []uint64
	data    []byte
	// trace is the header of a record of the run, which names its trace.
	trace nats.Header
}

// maxChangeBytes keeps a message of CHANGES under NATS's payload limit of 1 MiB.
const maxChangeBytes = 512 << 10

func (b *changeBatch) add(number uint64, change []byte) {
	n := len(change)
	b.numbers = append(b.numbers, number)
	b.data = append(b.data, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	b.data = append(b.data, change...)
}

func (b *changeBatch) full() bool { return len(b.data) >= maxChangeBytes }

// splitChanges calls fn for every change of a message, with bytes that are valid only during the call.
func splitChanges(data []byte, fn func(change []byte) error) error {
	for len(data) > 0 {
		if len(data) < 4 {
			return fmt.Errorf("message of CHANGES ends in the middle of a length")
		}
		n := int(data[0])<<24 | int(data[1])<<16 | int(data[2])<<8 | int(data[3])
		if n > len(data)-4 {
			return fmt.Errorf("message of CHANGES ends in the middle of a change")
		}
		if err := fn(data[4 : 4+n]); err != nil {
			return err
		}
		data = data[4+n:]
	}
	return nil
}

// formatNumbers writes ascending numbers as ranges.
func formatNumbers(numbers []uint64) string {
	var s strings.Builder
	for i := 0; i < len(numbers); {
		j := i
		for j+1 < len(numbers) && numbers[j+1] == numbers[j]+1 {
			j++
		}
		if i > 0 {
			s.WriteByte(',')
		}
		s.WriteString(strconv.FormatUint(numbers[i], 10))
		if j > i {
			s.WriteByte('-')
			s.WriteString(strconv.FormatUint(numbers[j], 10))
		}
		i = j + 1
	}
	return s.String()
}

// parseNumbers calls fn for every range that formatNumbers wrote.
func parseNumbers(text string, fn func(first, last uint64)) error {
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err := strconv.ParseUint(from, 10, 64)
		if err != nil {
			return fmt.Errorf("header %s %q: %w", numbersHeader, text, err)
		}
		last, err := strconv.ParseUint(to, 10, 64)
		if err != nil || last < first {
			return fmt.Errorf("header %s %q: not a range: %q", numbersHeader, text, part)
		}
		fn(first, last)
	}
	return nil
}

// numberSet counts distinct numbers in a bit each.
type numberSet struct {
	bits  []uint64
	count int
}

func (s *numberSet) add(first, last uint64) {
	for n := first; n <= last; n++ {
		word := int(n / 64)
		for len(s.bits) <= word {
			s.bits = append(s.bits, 0)
		}
		if s.bits[word]&(1<<(n%64)) == 0 {
			s.bits[word] |= 1 << (n % 64)
			s.count++
		}
	}
}
