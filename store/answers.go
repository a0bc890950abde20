package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// answerSlots is how many answers are kept: an answer is read when its message was handled, and a repeated
// request comes soon.
const answerSlots = 1024

// PutAnswer keeps what became of the command at a place of the log, for who gave it. Later ones take the
// place of those that are 1,024 messages old. Answers are no part of the store's digest.
func (tx *Tx) PutAnswer(sequence uint64, body []byte) error {
	value := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(body)), sequence)
	return tx.SetMeta(answerName(sequence), append(value, body...))
}

// Answer returns what became of the command at a place of the log, nil when it is not kept (any more).
func (tx *Tx) Answer(sequence uint64) []byte {
	value := tx.Meta(answerName(sequence))
	if len(value) < 8 || binary.BigEndian.Uint64(value) != sequence {
		return nil
	}
	return bytes.Clone(value[8:])
}

// ForgetAnswers drops all answers: they may name somebody who is to be forgotten.
func (tx *Tx) ForgetAnswers() error {
	for slot := range uint64(answerSlots) {
		if err := tx.SetMeta(answerName(slot), nil); err != nil {
			return err
		}
	}
	return nil
}

func answerName(sequence uint64) string { return fmt.Sprintf("answer/%d", sequence%answerSlots) }
