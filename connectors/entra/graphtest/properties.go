package graphtest

import "strings"

// The properties of microsoft.graph.user and microsoft.graph.group in the published v1.0 metadata
// (microsoftgraph/msgraph-metadata), with those of directoryObject. extension_… names are
// accepted beside them.
var (
	userProperties = words(`id deletedDateTime accountEnabled ageGroup assignedLicenses assignedPlans authorizationInfo
		businessPhones city companyName consentProvidedForMinor country createdDateTime creationType customSecurityAttributes
		department displayName employeeHireDate employeeId employeeLeaveDateTime employeeOrgData employeeType externalUserState
		externalUserStateChangeDateTime faxNumber givenName identities imAddresses isManagementRestricted isResourceAccount
		jobTitle lastPasswordChangeDateTime legalAgeGroupClassification licenseAssignmentStates mail mailNickname mobilePhone
		officeLocation onPremisesDistinguishedName onPremisesDomainName onPremisesExtensionAttributes onPremisesImmutableId
		onPremisesLastSyncDateTime onPremisesProvisioningErrors onPremisesSamAccountName onPremisesSecurityIdentifier
		onPremisesSyncEnabled onPremisesUserPrincipalName otherMails passwordPolicies passwordProfile postalCode
		preferredDataLocation preferredLanguage provisionedPlans proxyAddresses securityIdentifier serviceProvisioningErrors
		showInAddressList signInSessionsValidFromDateTime state streetAddress surname usageLocation userPrincipalName userType
		manager`)
	groupProperties = words(`id deletedDateTime assignedLabels assignedLicenses classification createdDateTime description
		displayName expirationDateTime groupTypes isAssignableToRole isManagementRestricted licenseProcessingState mail
		mailEnabled mailNickname membershipRule membershipRuleProcessingState onPremisesDomainName onPremisesLastSyncDateTime
		onPremisesNetBiosName onPremisesProvisioningErrors onPremisesSamAccountName onPremisesSecurityIdentifier
		onPremisesSyncEnabled preferredDataLocation preferredLanguage proxyAddresses renewedDateTime securityEnabled
		securityIdentifier serviceProvisioningErrors theme uniqueName visibility members owners`)
)

// UserProperties returns the published names of a user's properties.
func UserProperties() []string { return names(userProperties) }

// GroupProperties returns the published names of a group's properties.
func GroupProperties() []string { return names(groupProperties) }

func words(s string) map[string]string {
	m := map[string]string{}
	for _, w := range strings.Fields(s) {
		m[strings.ToLower(w)] = w
	}
	return m
}

func names(m map[string]string) []string {
	var all []string
	for _, w := range m {
		all = append(all, w)
	}
	return all
}

// property returns the published spelling of a name of kind.
func property(kind, name string) (string, bool) {
	if strings.HasPrefix(strings.ToLower(name), "extension_") {
		return name, true
	}
	m := userProperties
	if kind == groups {
		m = groupProperties
	}
	p, ok := m[strings.ToLower(name)]
	return p, ok
}
