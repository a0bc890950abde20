// Command graphtest runs the emulated Microsoft Graph by hand.
//
//	go run ./connectors/entra/graphtest/cmd/graphtest -users 1000 -change 10s
//
// It prints the part of a configuration that reads it, and goes on until it is interrupted. With -change a user changes,
// comes or goes that often.
package main

import (
	"encoding/pem"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"rollcall/connectors/entra/graphtest"
)

const (
	clientID = "11111111-2222-3333-4444-555555555555"
	secret   = "not-a-secret-of-anybody"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func run() error {
	address := flag.String("address", "127.0.0.1:0", "where to listen")
	users := flag.Int("users", 200, "how many users the tenant has; every tenth is in the group Printing")
	change := flag.Duration("change", 0, "how often a user changes, 0 for never")
	folder := flag.String("folder", "", "where ca.pem and secret are written; a new temporary folder when empty")
	var o graphtest.Options
	flag.IntVar(&o.PageSize, "page", 0, "objects a page")
	flag.BoolVar(&o.Repeat, "repeat", false, "repeat objects within a round")
	flag.BoolVar(&o.Shuffle, "shuffle", false, "disorder each page")
	flag.BoolVar(&o.Gzip, "gzip", false, "compress answers")
	flag.Parse()
	o.Address = *address
	s, err := graphtest.Start(o)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := describe(s, *folder); err != nil {
		return err
	}
	ids := graphtest.Fill(s.Directory, *users)
	fmt.Println("# ready")
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	for {
		select {
		case <-interrupted:
			return nil
		case <-tick(*change):
			ids = step(s.Directory, ids)
		}
	}
}

// describe registers an application and prints how to read the service.
func describe(s *graphtest.Server, folder string) error {
	if folder == "" {
		var err error
		if folder, err = os.MkdirTemp("", "graphtest"); err != nil {
			return err
		}
	}
	ca, key := filepath.Join(folder, "ca.pem"), filepath.Join(folder, "secret")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(key, []byte(secret), 0o600); err != nil {
		return err
	}
	s.Register(graphtest.App{ClientID: clientID, Secret: secret, SecretExpires: time.Now().AddDate(1, 0, 0), Roles: []string{"User.Read.All", "Group.Read.All", "Application.Read.All"}})
	fmt.Printf("cloud:\n  kind: entra\n  cloud: custom\n  authority: %s\n  graph_url: %s\n  tenant_id: %s\n  client_id: %s\n  client_secret_file: %s\n  ca_file: %s\n", s.URL, s.URL, s.Tenant(), clientID, key, ca)
	return nil
}

func tick(every time.Duration) <-chan time.Time {
	if every <= 0 {
		return nil
	}
	return time.After(every)
}

// step lets somebody change, come or go.
func step(d *graphtest.Directory, ids []string) []string {
	switch i := rand.IntN(len(ids)); rand.IntN(4) {
	case 0:
		fmt.Println("# somebody comes")
		return append(ids, d.AddUser(graphtest.Person(len(ids)+rand.IntN(1<<20))))
	case 1:
		if len(ids) > 1 {
			fmt.Println("# gone:", ids[i])
			d.Delete(ids[i])
			return append(ids[:i], ids[i+1:]...)
		}
	default:
		fmt.Println("# changed:", ids[i])
		d.Patch(ids[i], graphtest.Properties{"department": fmt.Sprint("Department ", rand.IntN(20))})
	}
	return ids
}
