// Command test passes all of Rollcall's tests: go run ./.ci/test
//
// As root on Debian or Ubuntu it first installs the directory servers that the tests start on loopback. Elsewhere
// tests without their server are skipped, loudly; with CI=true they fail. Arguments go to go test:
//
//	go run ./.ci/test -run Guard -count 10
//
// With -install it only installs.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// raced are the packages where goroutines meet, tested under the race detector.
var raced = []string{"./events/...", "./connectors/..."}

func main() {
	install()
	if slices.Equal(os.Args[1:], []string{"-install"}) {
		return
	}
	all, err := packages("./...")
	if err != nil {
		fail(err)
	}
	under, err := packages(raced...)
	if err != nil {
		fail(err)
	}
	if !canRace() {
		fmt.Println("no C compiler: nothing is tested under the race detector")
		under = nil
	}
	rest := slices.DeleteFunc(all, func(p string) bool { return slices.Contains(under, p) })
	steps := [][]string{{"vet", "./..."}}
	if len(under) > 0 {
		steps = append(steps, testing(under, "-race"))
	}
	steps = append(steps, testing(rest))
	run(steps)
}

// testing is a go test of packages, with the arguments of this command.
func testing(packages []string, flags ...string) []string {
	return slices.Concat([]string{"test", "-timeout", "30m"}, flags, os.Args[1:], packages)
}

// run does all steps and fails at the end when one of them did.
func run(steps [][]string) {
	var failed []string
	for _, args := range steps {
		if err := command("go", args...).Run(); err != nil {
			failed = append(failed, "go "+args[0]+" "+args[1])
		}
	}
	if len(failed) > 0 {
		fail(errors.New(strings.Join(failed, ", ") + " failed"))
	}
}

func packages(patterns ...string) ([]string, error) {
	out, err := exec.Command("go", append([]string{"list"}, patterns...)...).Output()
	return strings.Fields(string(out)), err
}

// canRace reports whether the race detector works here: it needs cgo, and so a C compiler.
func canRace() bool {
	out, err := exec.Command("go", "env", "CC").Output()
	fields := strings.Fields(string(out))
	if err != nil || len(fields) == 0 {
		return false
	}
	_, err = exec.LookPath(fields[0])
	return err == nil
}

func command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	if slices.Contains(args, "-race") {
		c.Env = append(os.Environ(), "CGO_ENABLED=1") // which .ci/run switches off
	}
	return c
}

func fail(err error) {
	fmt.Println("FAIL:", err)
	os.Exit(1)
}
