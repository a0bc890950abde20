package graphtest

import "fmt"

// Fill puts n users into the directory, every tenth into a new group "Printing", and returns their ids.
func Fill(d *Directory, n int) []string {
	ids := make([]string, 0, n)
	for i := range n {
		ids = append(ids, d.AddUser(Person(i)))
	}
	printing := d.AddGroup(Properties{"displayName": "Printing"})
	for i := 0; i < n; i += 10 {
		d.AddMember(printing, ids[i])
	}
	return ids
}

// PersonProperties are the twenty properties of a [Person].
func PersonProperties() []string {
	return []string{
		"accountEnabled", "businessPhones", "city", "companyName", "country", "createdDateTime", "department", "displayName", "employeeId",
		"givenName", "jobTitle", "mail", "mobilePhone", "officeLocation", "otherMails", "postalCode", "streetAddress", "surname",
		"userPrincipalName", "userType",
	}
}

// Person returns the properties of the i-th made-up user.
func Person(i int) Properties {
	name := fmt.Sprintf("user%06d", i)
	return Properties{
		"accountEnabled": true, "businessPhones": []string{fmt.Sprintf("+420 123 %06d", i)}, "city": "Brno", "companyName": "Example a. s.",
		"country": "CZ", "createdDateTime": "2024-01-02T03:04:05Z", "department": fmt.Sprint("Department ", i%40), "displayName": fmt.Sprintf("Žofie Nováková %d", i),
		"employeeId": fmt.Sprintf("E%06d", i), "givenName": "Žofie", "jobTitle": "Clerk", "mail": name + "@example.org",
		"mobilePhone": nil, "officeLocation": fmt.Sprintf("%d.%02d", i%9, i%70), "otherMails": []string{}, "postalCode": "602 00",
		"streetAddress": "Dlouhá 1", "surname": "Nováková", "userPrincipalName": name + "@example.org", "userType": "Member",
	}
}
