package people

import (
	"encoding/csv"
	"io"
	"strings"
)

// CSVHeader returns the columns of [CSVRow]: the 15 of rule V2 in their order, then further ones.
func CSVHeader() []string {
	return strings.Fields(`FULLNAME USERNAME_ALIASES EMAIL CARDS GROUPS CODE SCANSTORAGE PIN MANAGED_GROUPS AUTHSERVER
		PHONE LANG PWD EXTID DELEGATES ALT_EMAILS DEPARTMENT NOTES CUSTOM1 CUSTOM2 COST_CENTERS ACTIVE`)
}

// CSVRow returns the person's cells. No PIN is made up; PWD holds the password that must be ignored.
func CSVRow(p Person) []string {
	return []string{
		p.FullName, cell(append([]string{p.UID}, p.Aliases...)), p.Mail, cell(p.Cards), strings.Join(p.Groups, ","),
		p.EmployeeNumber, `folder:\\files\home\` + p.UID, "", "", "",
		p.Phone, p.Language, p.Password, p.ExternalID, "", cell(p.AlternateMails), p.Department, p.Notes,
		p.Title, p.City, p.CostCenter, "1",
	}
}

// WriteCSV writes a header and the first n persons in UTF-8, separated by commas.
func (p People) WriteCSV(w io.Writer, n int) error {
	out := csv.NewWriter(w)
	if err := out.Write(CSVHeader()); err != nil {
		return err
	}
	for i := range n {
		if err := out.Write(CSVRow(p.Person(i))); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// cell joins a comma list (V3).
func cell(values []string) string {
	var list strings.Builder
	for i, v := range values {
		if i > 0 {
			list.WriteByte(',')
		}
		for _, r := range v {
			if strings.ContainsRune(`,|\`, r) {
				list.WriteByte('\\')
			}
			list.WriteRune(r)
		}
	}
	return list.String()
}
