package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/connectors"
	"rollcall/events"
	"rollcall/pipeline/mapping"
)

// ruleBook loads rules by their hash. They never change under a hash, so a loaded one stays.
type ruleBook struct {
	bucket jetstream.KeyValue
	// key is nil in a process that has none for PINs.
	key    *pinKey
	mu     sync.Mutex
	loaded map[string]*ruleSet
	// refused are the hashes that had no usable rules lately.
	refused map[string]refusal
}

// refusal is why there are no rules, and how long nobody looks again.
type refusal struct {
	err   error
	until time.Time
}

// refusalLasts is how long. Every look takes seconds, and whoever has many records of one hash would look for each.
const refusalLasts = 5 * time.Second

type ruleSet struct {
	Rules
	mapping *mapping.Mapping
	sealer  sealer
}

func openRuleBook(ctx context.Context, bus *events.Bus, key *pinKey) (*ruleBook, error) {
	bucket, err := bus.KeyValue(ctx, events.ConfigBucket)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", events.ConfigBucket, err)
	}
	return &ruleBook{bucket: bucket, key: key, loaded: map[string]*ruleSet{}, refused: map[string]refusal{}}, nil
}

// publish puts rules under their hash, once, and returns the hash.
func (b *ruleBook) publish(ctx context.Context, r Rules) (string, error) {
	data, hash, err := r.Encode()
	if err != nil {
		return "", err
	}
	if _, err := b.bucket.Create(ctx, hash, data); err != nil && !errors.Is(err, jetstream.ErrKeyExists) {
		return "", fmt.Errorf("publish rules %s of %s: %w", hash, r.Options.Source, err)
	}
	return hash, nil
}

// errUnusable means that what stands under a hash are no rules that this process can work by; one of another version may.
var errUnusable = errors.New("there are no rules to work by")

// load returns the rules published under a hash, compiled, or [errUnusable].
func (b *ruleBook) load(ctx context.Context, hash string) (*ruleSet, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.loaded[hash]; e != nil {
		return e, nil
	}
	if r := b.refused[hash]; time.Now().Before(r.until) {
		return nil, r.err
	}
	maps.DeleteFunc(b.refused, func(_ string, r refusal) bool { return time.Now().After(r.until) })
	e, err := b.read(ctx, hash)
	switch {
	case err == nil:
		b.loaded[hash] = e
	case errors.Is(err, errUnusable):
		b.refused[hash] = refusal{err, time.Now().Add(refusalLasts)}
	}
	return e, err
}

func (b *ruleBook) read(ctx context.Context, hash string) (*ruleSet, error) {
	value, err := getPublished(ctx, b.bucket, hash)
	if errors.Is(err, jetstream.ErrKeyNotFound) || errors.Is(err, jetstream.ErrInvalidKey) {
		return nil, fmt.Errorf("%w: load rules %s: %w", errUnusable, hash, err)
	}
	if err != nil {
		return nil, fmt.Errorf("load rules %s: %w", hash, err)
	}
	if hashOf(value.Value()) != hash {
		return nil, fmt.Errorf("%w: rules %s: somebody put other rules under this hash", errUnusable, hash)
	}
	e := &ruleSet{}
	if err := json.Unmarshal(value.Value(), &e.Rules); err != nil {
		return nil, fmt.Errorf("%w: rules %s: %w", errUnusable, hash, err)
	}
	if e.mapping, err = mapping.Compile(e.Mapping); err != nil {
		return nil, connectors.Hint(fmt.Errorf("%w: rules %s: %w", errUnusable, hash, err), "run the same version of rollcall on every worker")
	}
	e.sealer = newSealer(b.key, e.mapping)
	return e, nil
}

// getPublished returns what somebody has just published under a key: in a cluster, a replica that is behind may answer first.
func getPublished(ctx context.Context, bucket jetstream.KeyValue, key string) (value jetstream.KeyValueEntry, err error) {
	for range 20 {
		if value, err = bucket.Get(ctx, key); !errors.Is(err, jetstream.ErrKeyNotFound) {
			return value, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
	return value, err
}
