package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"rollcall/pipeline/policy"
	"rollcall/store"
)

// pinIssue draws the PINs that a run generates (P4): when all its other verdicts are known and in the order of the users'
// ids, so that a PIN is nobody else's and the same log draws the same ones.
type pinIssue struct {
	rules *ruleSet
	// active is whether any PIN may be drawn, raised whether that is because they are longer now (P6).
	active, raised bool
	// decided are the users whom the run decides about, when PINs are longer now.
	decided map[string]bool
	// taken are the hashes of PINs that somebody gets in this run.
	taken map[string]bool
	// more is how many more users are active after the run than before.
	more int
	// exhausted is the length of which no PIN is left, 0 for none.
	exhausted int
}

func newPINIssue(rules *ruleSet, raised bool) *pinIssue {
	return &pinIssue{rules: rules, active: rules.Options.PINs.Generate || raised, raised: raised, decided: map[string]bool{}, taken: map[string]bool{}}
}

// see looks at a verdict on its way into the plan. It is put aside when its user is still to get a PIN.
func (i *pinIssue) see(v *policy.Verdict) (aside bool) {
	if !i.active {
		return false
	}
	for _, c := range v.Claims {
		if c.Space == store.PINHashes {
			i.taken[c.Value] = true
		}
	}
	if i.raised && v.User != nil {
		i.decided[v.User.ID] = true
	}
	switch v.Event {
	case "created", "reactivated":
		i.more++
	case "deactivated":
		i.more--
	}
	return v.DrawPIN
}

// raiseUnowned puts those aside who are no source's, and whom the run decides nothing else about (P6). Of several sources the run of the first
// one by name does it.
func (i *pinIssue) raiseUnowned(p *planner) error {
	isBefore := func(o Other) bool { return o.Name < p.run.Source }
	if !i.raised || slices.ContainsFunc(i.rules.Others, isBefore) {
		return nil
	}
	after := ""
	for n := planBatch; n == planBatch; {
		n = 0
		err := p.decide(func() error {
			return p.tx.Users(after, func(u *store.User) error {
				if n == planBatch {
					return store.ErrStop
				}
				n, after = n+1, u.ID
				if v := policy.Raise(u, i.rules.Options.PINs.OnRaise); v != nil && !i.decided[u.ID] {
					return p.write(v)
				}
				return nil
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// issueAll draws for the verdicts that were put aside, in bounded steps.
func (i *pinIssue) issueAll(p *planner) error {
	if !i.active {
		return nil
	}
	i.active = false // what comes now goes into the plan
	if err := p.writer.flush(); err != nil {
		return err
	}
	var length int
	err := p.inView(func() error {
		_, active := p.tx.CountUsers()
		length = policy.PINLength(i.rules.Options.PINs.MinimumLength, active+i.more)
		return nil
	})
	var after []byte
	for n := planBatch; err == nil && n == planBatch; {
		err = p.decide(func() (err error) {
			n, after, err = i.issue(p, length, after)
			return err
		})
	}
	return err
}

func (i *pinIssue) issue(p *planner, length int, after []byte) (n int, last []byte, err error) {
	rows, err := planRows(p.tx, p.run, planPIN, after, planBatch)
	for _, row := range rows {
		if err != nil {
			break
		}
		last = bytes.Clone(row.key)
		err = i.one(p, length, row.value)
	}
	return len(rows), last, err
}

func (i *pinIssue) one(p *planner, length int, data []byte) error {
	v, err := policy.DecodeVerdict(data)
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	old, err := p.tx.User(v.User.ID)
	if err != nil {
		return err
	}
	drawn, hash := false, ""
	draw := func(u *store.User) (string, error) {
		hash, err = i.draw(p.tx, u, length)
		drawn = err == nil
		return hash, err
	}
	if err := policy.Issue(v, old, i.rules.Options.PINs, p.message.time, draw); err != nil {
		return fmt.Errorf("generate a PIN for %s: %w", v.Name, err)
	}
	if drawn && i.rules.Options.PINs.Mail {
		v.Letter = letterTo(v.User, length, hash)
	}
	return p.write(v)
}

func (i *pinIssue) draw(tx *store.Tx, u *store.User, length int) (hash string, err error) {
	switch {
	case i.rules.sealer.key == nil:
		return "", errNoPINKey
	case i.exhausted == length: // looking through all of them again would find none again
		return "", fmt.Errorf("%w with %d digits [P4]", policy.ErrPINsExhausted, length)
	}
	hash, err = i.rules.sealer.key.issue(u.ID, u.PINsIssued, length, func(hash string) (bool, error) {
		if i.taken[hash] {
			return true, nil
		}
		return tx.Held(store.Claim{Space: store.PINHashes, Value: hash})
	})
	if errors.Is(err, policy.ErrPINsExhausted) {
		i.exhausted = length
	}
	i.taken[hash] = true
	return hash, err
}

// pinsRaised reports whether PINs are longer from this run on than in the source's last applied one (P6).
func (p *planner) pinsRaised(ctx context.Context, now *ruleSet) (bool, error) {
	if p.source.Config == "" || p.source.Config == p.run.Config {
		return false, nil
	}
	before, err := p.rules.load(ctx, p.source.Config)
	if errors.Is(err, errUnusable) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	last := before.Options.PINs.MinimumLength
	return last > 0 && last < now.Options.PINs.MinimumLength, nil
}

// validFor says how long temporary cards and PINs of a source are good.
func validFor(rules *Rules) map[store.Property]time.Duration {
	all := map[store.Property]time.Duration{}
	for _, p := range [...]store.Property{store.Cards, store.PINs} {
		if d := rules.Mapping.Properties[p.String()].ValidFor; d > 0 {
			all[p] = d
		}
	}
	return all
}
