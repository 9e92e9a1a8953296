package nsagentv1

// CheckJSON is one thing that was looked at. State is ok, note, problem or skipped.
type CheckJSON struct {
	Name   string `json:"name"`
	State  string `json:"state"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

// ChecksJSON is what a test of a profile, or of the vault, found. OK says that
// nothing is a problem.
type ChecksJSON struct {
	Schema  string      `json:"schema"`
	Profile string      `json:"profile,omitempty"`
	OK      bool        `json:"ok"`
	Checks  []CheckJSON `json:"checks"`
	// Surfaces are the ways into NetSuite that were tried.
	Surfaces []SurfaceJSON `json:"surfaces,omitempty"`
}

// SurfaceJSON is one way into NetSuite, as a test found it. State is works, limited,
// refused, unreached or skipped.
type SurfaceJSON struct {
	Name    string `json:"name"`
	State   string `json:"state"`
	Status  int32  `json:"status"` // of HTTP; 0 where none came
	Detail  string `json:"detail"`
	Missing string `json:"missing,omitempty"`
	Fix     string `json:"fix,omitempty"`
}

// WithSurfaces returns c with the ways into NetSuite that were tried. One that refuses or
// is not reached is a problem.
func (c ChecksJSON) WithSurfaces(all []*Surface) ChecksJSON {
	for _, s := range all {
		c.OK = c.OK && s.GetState() != "refused" && s.GetState() != "unreached"
		c.Surfaces = append(c.Surfaces, SurfaceJSON{Name: s.GetName(), State: s.GetState(), Status: s.GetStatus(), Detail: s.GetDetail(), Missing: s.GetMissing(), Fix: s.GetFix()})
	}
	return c
}

// ChecksForm returns the JSON form of checks; profile may be empty.
func ChecksForm(profile string, all []*Check) ChecksJSON {
	out := ChecksJSON{Schema: SchemaCheck, Profile: profile, OK: true, Checks: make([]CheckJSON, 0, len(all))}
	for _, c := range all {
		out.OK = out.OK && c.GetState() != "problem"
		out.Checks = append(out.Checks, CheckJSON{Name: c.GetName(), State: c.GetState(), Detail: c.GetDetail(), Remedy: c.GetRemedy()})
	}
	return out
}
