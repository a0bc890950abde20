package mapping

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"rollcall/connectors"
	"rollcall/store"
)

// rule is a compiled [Rule].
type rule struct {
	property store.Property
	// One of from, template and constant is where the value comes from.
	from     []int
	template *template
	constant *string

	split      string
	skip, take int
	regex      *regexp.Regexp
	chain      []command
	fallback   string
	form       form
	// secret is true when the values may be PINs.
	secret bool
	// borrows is true when the attributes are those of the entry's lender.
	borrows bool
}

func compileRule(p store.Property, given Rule, c Config, n *names) (rule, error) {
	given, borrows := c.borrowed(p, given)
	r := rule{property: p, borrows: borrows, split: given.Split, skip: given.Skip, take: given.Take, fallback: given.Default,
		form: form{property: p, storage: given.Type, targets: c.StorageTargets}}
	all := []error{r.compileOrigin(given, n), checkOptions(p, given), r.compileRegex(given.Regex)}
	var err error
	r.chain, err = compileChain(given.Transform)
	all = append(all, err, r.compileConstants())
	return r, prefix(p.String(), all...)
}

// prefix puts a name before every single mistake and keeps its hint.
func prefix(name string, mistakes ...error) error {
	var all []error
	for _, err := range mistakes {
		if many, ok := err.(interface{ Unwrap() []error }); ok {
			all = append(all, prefix(name, many.Unwrap()...))
		} else if err != nil {
			all = append(all, hinted(fmt.Errorf("%s: %w", name, err), err))
		}
	}
	return errors.Join(all...)
}

// hinted gives err the hint of its cause, if it has one.
func hinted(err, cause error) error {
	if try := connectors.HintOf(cause); try != "" {
		return connectors.Hint(err, try)
	}
	return err
}

// compileOrigin reads from where the value comes.
func (r *rule) compileOrigin(given Rule, n *names) (err error) {
	count := 0
	if len(given.From) > 0 {
		count++
		r.from, err = n.list(given.From)
	}
	if given.Template != "" {
		count++
		r.template, err = compileTemplate(given.Template, n)
	}
	if given.Value != nil {
		count++
		r.constant = given.Value
	}
	if count != 1 {
		return connectors.Hint(fmt.Errorf("exactly one of from, template and value is needed, %d are given", count), r.property.String()+": {from: attribute}")
	}
	return err
}

// checkOptions returns the options that the property cannot have.
func checkOptions(p store.Property, given Rule) error {
	var all []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			all = append(all, fmt.Errorf(format, args...))
		}
	}
	dated := p == store.Cards || p == store.PINs
	wrong(given.Skip < 0 || given.Take < 0, "skip and take are not negative")
	wrong(!p.Multi() && given.Take > 1, "take: %d is for properties with many values", given.Take)
	wrong(given.Type != "" && p != store.UserStorage, "type is for user_storage only [U12]")
	wrong(!slices.Contains([]string{"", "folder", "email", "target"}, given.Type), "type: %q is not folder, email or target [U12]", given.Type)
	wrong((given.Kind != "" || given.ValidFor != 0) && !dated, "kind and valid_for are for cards and pins only")
	wrong(!slices.Contains([]string{"", "persistent", "temporary"}, given.Kind), "kind: %q is not persistent or temporary", given.Kind)
	wrong(dated && (given.ValidFor > 0) != (given.Kind == "temporary"), "kind: temporary and a positive valid_for belong together")
	wrong(strings.Contains(given.Split, `\`) || !isText(given.Split) && strings.Trim(given.Split, "\t\n") != "", "split: %q cannot separate values", given.Split)
	wrong(p == store.PINs && (given.Default != "" || given.Value != nil), "a PIN is one person's: it has no default and no constant value")
	return errors.Join(all...)
}

func (r *rule) compileRegex(text string) (err error) {
	if text == "" {
		return nil
	}
	if r.regex, err = regexp.Compile(text); err != nil {
		return connectors.Hint(fmt.Errorf("regex: %w", err), "the syntax of RE2, which has no look-ahead")
	}
	return nil
}

// compileConstants sends the constant and the default through the rule, so that a wrong one is known now.
func (r *rule) compileConstants() (err error) {
	if r.constant != nil && *r.constant != "" {
		if _, err := r.refine(*r.constant); err != nil {
			return fmt.Errorf("value %q: %w", *r.constant, err)
		}
	}
	given := r.fallback
	if r.fallback, err = clean(given, r.form.breaks()); err == nil && r.fallback != "" {
		r.fallback, err = r.form.check(r.fallback)
	}
	if err != nil {
		return fmt.Errorf("default %q: %w", given, err)
	}
	return nil
}

// slots are the attributes that the rule uses.
func (r *rule) slots() []int {
	if r.template != nil {
		return r.template.slots
	}
	return r.from
}

// listed reports whether a record says anything about the property.
func (r *rule) listed(v view) bool {
	switch {
	case r.constant != nil:
		return true
	case r.template != nil:
		return r.template.listed(v)
	}
	return v.listed(r.from)
}

// decided reports whether a partial record says enough: all attributes of a list or template, of a single value those
// up to the first that is not empty.
func (r *rule) decided(v view) bool {
	if r.template != nil || r.property.Multi() {
		return v.lists(r.slots())
	}
	for _, slot := range r.from {
		if v[slot] == nil || v.first(slot) != "" {
			return v[slot] != nil
		}
	}
	return true
}

// apply puts what a record says about the property into the change.
func (r *rule) apply(v view, c *Change) {
	if !r.listed(v) {
		return
	}
	c.Set = c.Set.With(r.property)
	var room [8]string
	values := r.gather(v, room[:0])
	if r.property.Multi() {
		r.applyList(values, c)
		return
	}
	r.applyText(values, c)
}

// gather returns the raw values.
func (r *rule) gather(v view, into []string) []string {
	switch {
	case r.constant != nil:
		into = append(into, *r.constant)
	case r.template != nil:
		into = r.template.expand(into, v, r.form.isPath())
	default:
		for _, slot := range r.from {
			into = append(into, v.values(slot)...)
		}
	}
	if r.split != "" {
		into = r.cut(into)
	}
	into = into[min(r.skip, len(into)):]
	if r.take > 0 {
		into = into[:min(r.take, len(into))]
	}
	return into
}

// cut splits every value. Paths keep their escapes.
func (r *rule) cut(values []string) []string {
	parts := make([]string, 0, len(values)+2)
	for _, value := range values {
		if trim(value) != "" {
			parts = split(parts, value, r.split)
		}
	}
	if !r.form.isPath() {
		for i := range parts {
			parts[i] = unescape(parts[i], r.split)
		}
	}
	return parts
}

// applyText takes the first value that comes through the rule (L4). Where one was refused and none came through,
// the property is left as it was.
func (r *rule) applyText(values []string, c *Change) {
	unmatched, refused := "", false
	for _, raw := range values {
		value, err := r.refine(raw)
		switch {
		case err == errUnmatched:
			unmatched = cmp.Or(unmatched, raw)
		case err != nil:
			refused = true
			c.warn(r.property, r.show(raw), err)
		case value != "":
			c.Text[r.property] = value
			return
		}
	}
	if unmatched != "" {
		c.warn(r.property, r.show(unmatched), errUnmatched)
	}
	if refused && r.fallback == "" {
		c.Set &^= store.PropertySet(0).With(r.property)
	}
	c.Text[r.property] = r.fallback
}

// applyList takes all values that come through the rule, each once, sorted.
func (r *rule) applyList(values []string, c *Change) {
	list, unmatched := make([]string, 0, len(values)), ""
	for _, raw := range values {
		value, err := r.refine(raw)
		switch {
		case err == errUnmatched:
			unmatched = cmp.Or(unmatched, raw)
		case err != nil:
			c.warn(r.property, r.show(raw), err)
		case value != "":
			list = append(list, value)
		}
	}
	if unmatched != "" && len(list) == 0 {
		c.warn(r.property, r.show(unmatched), errUnmatched)
	}
	if len(list) == 0 && r.fallback != "" {
		list = append(list, r.fallback)
	}
	if len(list) > 0 {
		c.List[r.property.List()] = r.form.unique(list)
	}
}

// errUnmatched leaves a value out without a word as long as another one matches (K4).
var errUnmatched = errors.New("the regular expression matches no value; there is none [K4]")

// refine sends one value through the rule (K1): "" when nothing is left of it.
func (r *rule) refine(value string) (string, error) {
	if len(value) > r.form.limit() {
		return "", r.form.tooLong()
	}
	value, err := clean(value, r.form.breaks())
	if err != nil || value == "" {
		return "", err
	}
	if r.regex != nil {
		if value, err = match(r.regex, value); err != nil || value == "" {
			return "", err
		}
	}
	if value, err = transform(r.chain, value); err != nil {
		return "", err
	}
	if !isPrintable(value) { // commands can tear or join what Unicode composes
		value = trim(norm.NFC.String(value))
	}
	return r.form.check(value)
}

// match returns the first group, or the whole match without one (K4).
func match(regex *regexp.Regexp, value string) (string, error) {
	at := regex.FindStringSubmatchIndex(value)
	switch {
	case at == nil:
		return "", errUnmatched
	case len(at) == 2:
		return trim(value[at[0]:at[1]]), nil
	case at[2] < 0:
		return "", nil
	}
	return trim(value[at[2]:at[3]]), nil
}

// show is a value as messages may show it.
func (r *rule) show(value string) string {
	if r.secret {
		return MaskSecret(value)
	}
	return value
}
