package events_test

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/nats-io/nats.go"

	"rollcall/events"
	"rollcall/store"
)

// A file that always shows who is active: name, full name, e-mail. It is written anew with every change, and begins with all users
// whenever the program starts.
func ExampleBootstrap() {
	nc, err := nats.Connect("nats://127.0.0.1:4222", nats.UserCredentials("subscriber.creds"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer nc.Close()
	fmt.Println(keepCSV(context.Background(), nc, "users.csv"))
}

// keepCSV keeps a CSV file in step until ctx is done.
func keepCSV(ctx context.Context, nc *nats.Conn, path string) error {
	users := map[string]store.User{}
	return events.Bootstrap(ctx, nc, events.BootstrapOptions{},
		func(s *events.Snapshot) error {
			clear(users) // it may be a second one: what we had is worth nothing then
			err := s.Each(func(line events.SnapshotLine) error {
				if line.User != nil {
					users[line.User.ID] = *line.User
				}
				return nil
			})
			return cmp.Or(err, writeCSV(path, users))
		},
		func(e events.UserChanged) error {
			users[e.User.ID] = e.User
			return writeCSV(path, users)
		})
}

// writeCSV writes the active users, sorted, and replaces the file when it is whole.
func writeCSV(path string, users map[string]store.User) error {
	var rows [][]string
	for _, u := range users {
		if u.Active {
			rows = append(rows, []string{u.Text[store.UserName], u.Text[store.FullName], u.Text[store.Email]})
		}
	}
	slices.SortFunc(rows, slices.Compare)
	file, err := os.Create(path + ".new")
	if err != nil {
		return err
	}
	err = csv.NewWriter(file).WriteAll(rows)
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
