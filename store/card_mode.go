package store

// ParseCardMode returns the mode of that name: full, masked or none. Any other name is masked.
func ParseCardMode(name string) CardMode {
	switch name {
	case "full":
		return CardsFull
	case "none":
		return CardsNone
	default:
		return CardsMasked
	}
}

// Show returns a card's number as the mode shows it: "" for none at all.
func (m CardMode) Show(number string) string {
	switch m {
	case CardsFull:
		return number
	case CardsNone:
		return ""
	default:
		return masked(number)
	}
}
