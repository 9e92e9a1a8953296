package nsagentv1

// CertificateJSON is the JSON form of a Certificate.
type CertificateJSON struct {
	Schema  string `json:"schema"`
	Profile string `json:"profile"`
	// State is current, next, previous, bundle, or empty for one that is not the profile's.
	State         string  `json:"state"`
	CertificateID string  `json:"certificate_id"`
	Certificate   string  `json:"certificate,omitempty"`
	Algorithm     string  `json:"algorithm,omitempty"`
	CommonName    string  `json:"common_name,omitempty"`
	ValidFrom     *string `json:"valid_from"`
	ValidUntil    *string `json:"valid_until"`
	Revoked       bool    `json:"revoked"`
	Entity        string  `json:"entity,omitempty"`
	EntityName    string  `json:"entity_name,omitempty"`
	Role          string  `json:"role,omitempty"`
	RoleName      string  `json:"role_name,omitempty"`
	Application   string  `json:"application,omitempty"`
}

// JSON returns the JSON form of a certificate of a profile.
func (m *Certificate) JSON(profile string) CertificateJSON {
	return CertificateJSON{
		Schema: SchemaCertificate, Profile: profile, State: m.GetState(), CertificateID: m.GetCertificateId(), Certificate: m.GetCertificate(),
		Algorithm: m.GetAlgorithm(), CommonName: m.GetCommonName(), ValidFrom: instantOrNull(m.GetValidFrom()), ValidUntil: instantOrNull(m.GetValidUntil()),
		Revoked: m.GetRevoked(), Entity: m.GetEntity(), EntityName: m.GetEntityName(), Role: m.GetRole(), RoleName: m.GetRoleName(), Application: m.GetApplication(),
	}
}

// RetiredJSON is a certificate that is to be revoked.
type RetiredJSON struct {
	CertificateID string `json:"certificate_id"`
	After         string `json:"after"`
	// Grant is the grant whose bundle has the certificate.
	Grant string `json:"grant,omitempty"`
}

func retiredForm(all []*RetiredCertificate) []RetiredJSON {
	var out []RetiredJSON
	for _, r := range all {
		out = append(out, RetiredJSON{r.GetCertificateId(), *instant(r.GetAfter()), r.GetGrant()})
	}
	return out
}

// CertificatesJSON is a list of certificates. Active and Limit are null where NetSuite was
// not asked.
type CertificatesJSON struct {
	Schema       string            `json:"schema"`
	Profile      string            `json:"profile"`
	Active       *int32            `json:"active"`
	Limit        *int32            `json:"limit"`
	Certificates []CertificateJSON `json:"certificates"`
	// Retired are those that are still to be revoked at NetSuite.
	Retired []RetiredJSON `json:"retired,omitempty"`
	// RotateAfter is in seconds.
	RotateAfter int64 `json:"rotate_after,omitzero"`
}

// JSON returns the JSON form.
func (m *ListCertificatesResponse) JSON(profile string) CertificatesJSON {
	out := CertificatesJSON{Schema: SchemaCertificates, Profile: profile, Active: &m.Active, Limit: &m.Limit, Certificates: []CertificateJSON{}}
	for _, c := range m.GetCertificates() {
		out.Certificates = append(out.Certificates, c.JSON(profile))
	}
	return out
}

// CertificatesJSON returns the certificates that the profile itself knows of.
func (m *Profile) CertificatesJSON() CertificatesJSON {
	out := CertificatesJSON{Schema: SchemaCertificates, Profile: m.GetName(), Retired: retiredForm(m.GetRetired()), RotateAfter: m.GetRotateAfter()}
	current := CertificateJSON{
		Schema: SchemaCertificate, Profile: m.GetName(), State: "current", CertificateID: m.GetCertificateId(), Certificate: m.GetCertificate(), ValidUntil: instantOrNull(m.GetExpiresAt()),
	}
	out.Certificates = []CertificateJSON{current}
	if next := m.GetNextCertificate(); next != nil {
		out.Certificates = append(out.Certificates, next.JSON(m.GetName()))
	}
	return out
}

// RotationJSON is the JSON form of a RotateCertificateResponse.
type RotationJSON struct {
	Schema              string          `json:"schema"`
	Profile             string          `json:"profile"`
	Certificate         CertificateJSON `json:"certificate"`
	PreviousCertificate string          `json:"previous_certificate_id"`
	// RevokedAfter is null where the certificate before is not revoked by the agent.
	RevokedAfter *string `json:"revoked_after"`
}

// JSON returns the JSON form.
func (m *RotateCertificateResponse) JSON() RotationJSON {
	name := m.GetProfile().GetName()
	return RotationJSON{Schema: SchemaRotation, Profile: name, Certificate: m.GetCertificate().JSON(name), PreviousCertificate: m.GetPreviousCertificateId(), RevokedAfter: instantOrNull(m.GetRevokedAfter())}
}
