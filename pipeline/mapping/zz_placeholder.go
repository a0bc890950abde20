package mapping

type Mapping struct{}

func Compile(Config) (*Mapping, error)  { return &Mapping{}, nil }
func (*Mapping) Attributes() []string { return nil }
