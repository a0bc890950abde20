package ldap

import "strings"

// Preset is what is known of a kind of directory (L1). The mapping lies under the source's own, property by property.
type Preset struct {
	// Key is the attribute with the entry's stable id, "" where the source must name it.
	Key string
	// Filter selects people.
	Filter string
	// UserName, FullName and Email are the attributes of these properties, "" for none.
	UserName, FullName, Email string
	// PageSize is how many entries a page has.
	PageSize int
	// Disabled are the attributes that say that an account may not be used.
	Disabled []string
}

var presets = map[string]Preset{
	"active-directory": {Key: "objectGUID", Filter: "(&(objectCategory=person)(objectClass=user))", UserName: "sAMAccountName",
		FullName: "cn", Email: "mail", PageSize: 1000, Disabled: []string{"userAccountControl", "accountExpires"}},
	"openldap": {Key: "entryUUID", Filter: "(objectClass=inetOrgPerson)", UserName: "uid", FullName: "cn", Email: "mail", PageSize: 5000},
	"389ds": {Key: "nsUniqueId", Filter: "(|(objectClass=inetOrgPerson)(objectClass=nsPerson))", UserName: "uid", FullName: "cn", Email: "mail", PageSize: 5000,
		Disabled: []string{"nsAccountLock"}},
	"edirectory": {Key: "GUID", Filter: "(objectClass=inetOrgPerson)", UserName: "cn", FullName: "fullName", Email: "mail", PageSize: 1000,
		Disabled: []string{"loginDisabled"}},
	"google":  {Key: "entryUUID", Filter: "(objectClass=inetOrgPerson)", UserName: "uid", FullName: "cn", Email: "mail", PageSize: 1000},
	"domino":  {Key: "dominoUNID", Filter: "(objectClass=dominoPerson)", UserName: "uid", FullName: "cn", Email: "mail", PageSize: 1000},
	"generic": {FullName: "cn", Email: "mail", PageSize: 1000},
}

// PresetOf returns what is known of a type of directory.
func PresetOf(typ string) (Preset, bool) {
	p, ok := presets[typ]
	return p, ok
}

// passwords are the attributes that are never asked for and never pass (U21), in lower case.
var passwords = map[string]bool{
	"userpassword": true, "unicodepwd": true, "dbcspwd": true, "lmpwdhistory": true, "ntpwdhistory": true, "pwdhistory": true,
	"sambantpassword": true, "sambalmpassword": true, "sambapasswordhistory": true, "krbprincipalkey": true, "krb5key": true, "supplementalcredentials": true,
	"authpassword": true, "passwordhistory": true, "nspassword": true, "orclpassword": true, "msds-managedpassword": true, "ms-mcs-admpwd": true,
	"mslaps-password": true, "mslaps-encryptedpassword": true, "mslaps-encryptedpasswordhistory": true, "httppassword": true, "trustauthincoming": true, "trustauthoutgoing": true,
	"privatekey": true, "nspmpassword": true, "userpkcs12": true, "ipanthash": true, "unixuserpassword": true,
	"password": true, "pwd": true, "passwordprofile": true, "sambacleartextpassword": true, "sambapreviouscleartextpassword": true,
	"dsphttppassword": true, "nspmdistributionpassword": true, "sasloginsecret": true, "krbpwdhistory": true, "krbmkey": true, "mssfu30password": true,
	"nsds5replicacredentials": true, "olcrootpw": true, "msfve-recoverypassword": true, "initialauthincoming": true, "initialauthoutgoing": true, "currentvalue": true, "priorvalue": true,
}

// isPassword reports whether an attribute, with or without options, holds a password.
func isPassword(name string) bool {
	base, _, _ := strings.Cut(strings.ToLower(name), ";")
	return passwords[base]
}
