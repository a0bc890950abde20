package connectors

// Merge lays a partial record over the last whole one: listed attributes replace, those that are not listed stay. Key,
// kind, name and Disabled are told's.
func Merge(last, told Record) Record {
	merged := Record{Key: told.Key, Kind: told.Kind, Name: told.Name, Disabled: told.Disabled}
	merged.Attributes = make([]Attribute, 0, len(last.Attributes)+len(told.Attributes))
	old, now := last.Attributes, told.Attributes
	for len(old) > 0 && len(now) > 0 {
		switch {
		case old[0].Name < now[0].Name:
			merged.Attributes, old = append(merged.Attributes, old[0]), old[1:]
		case old[0].Name > now[0].Name:
			merged.Attributes, now = append(merged.Attributes, now[0]), now[1:]
		default:
			merged.Attributes, old, now = append(merged.Attributes, now[0]), old[1:], now[1:]
		}
	}
	merged.Attributes = append(merged.Attributes, old...)
	merged.Attributes = append(merged.Attributes, now...)
	return merged
}

// Sighting returns the record that says of an entry only that it is there and did not change.
func Sighting(key string, kind Kind) Record { return Record{Key: key, Kind: kind, Partial: true} }

// IsSighting reports whether the record is a bare sighting.
func (r *Record) IsSighting() bool {
	return r.Partial && !r.Deleted && r.Name == "" && r.Problem == "" && len(r.Attributes) == 0
}
