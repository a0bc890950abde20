package csv_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/connectors"
	"rollcall/connectors/connectorstest/people"
	"rollcall/connectors/csv"
)

const benchRows = 100_000

func BenchmarkRead(b *testing.B) {
	for name, write := range map[string]func(io.Writer) error{
		"10columns":       tenColumns,
		"22columnsQuoted": func(w io.Writer) error { return people.New(1).WriteCSV(w, benchRows) },
	} {
		b.Run(name, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "people.csv")
			file, err := os.Create(path)
			must(b, err)
			must(b, write(file))
			must(b, file.Close())
			stat, err := os.Stat(path)
			must(b, err)
			c := open(b, csv.Config{Path: path})
			b.SetBytes(stat.Size())
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				_, err := c.Read(context.Background(), nil, func(connectors.Record) error { n++; return nil })
				if err != nil || n != benchRows {
					b.Fatal(n, err)
				}
			}
			b.ReportMetric(float64(benchRows*b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkReadSeveral reads the rows of one file out of four, side by side.
func BenchmarkReadSeveral(b *testing.B) {
	var text strings.Builder
	must(b, tenColumns(&text))
	lines := strings.SplitAfter(text.String(), "\n")
	header, rows := lines[0], lines[1:benchRows+1]
	var paths []string
	for i := range 4 {
		path := filepath.Join(b.TempDir(), fmt.Sprintf("%d.csv", i))
		replace(b, path, header+strings.Join(rows[i*benchRows/4:(i+1)*benchRows/4], ""))
		paths = append(paths, path)
	}
	c := open(b, csv.Config{Paths: paths})
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		_, err := c.Read(context.Background(), nil, func(connectors.Record) error { n++; return nil })
		if err != nil || n != benchRows {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric(float64(benchRows*b.N)/b.Elapsed().Seconds(), "rows/s")
}

// tenColumns writes rows without quotation marks.
func tenColumns(w io.Writer) error {
	if _, err := fmt.Fprintln(w, "FULLNAME;USERNAME_ALIASES;EMAIL;CARDS;CODE;PHONE;LANG;EXTID;DEPARTMENT;CUSTOM1"); err != nil {
		return err
	}
	for i := range benchRows {
		p := people.New(1).Person(i)
		row := []string{p.FullName, p.UID, p.Mail, strings.Join(p.Cards, ","), p.EmployeeNumber, p.Phone, p.Language, p.ExternalID, p.Department, p.Title}
		if _, err := fmt.Fprintln(w, strings.Join(row, ";")); err != nil {
			return err
		}
	}
	return nil
}
