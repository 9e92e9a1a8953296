package agent

import (
	"cmp"
	"fmt"
	"slices"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// A certificate stands for an entity in a role, so that with another one a profile may do
// more. The agent uploads the next one for whom the present one stands, and switches to what
// it sees to stand for the same. Where NetSuite does not list the present one, somebody says
// whose it is, with a fresh proof, and switches by hand.

// standing is for whom a certificate stands at NetSuite, by internal IDs; "" is not known.
type standing struct{ entity, role string }

// presentOf returns the present certificate as NetSuite lists it; zero: it does not. That is
// the one that the list was asked for with: another that a profile names is not known to be
// its own.
func presentOf(listed []mapped) mapped {
	i := slices.IndexFunc(listed, func(m mapped) bool { return m.present })
	if i < 0 {
		return mapped{}
	}
	return listed[i]
}

// or returns s with what of it is not known as other has it.
func (s standing) or(other standing) standing {
	return standing{cmp.Or(s.entity, other.entity), cmp.Or(s.role, other.role)}
}

// fits reports whether the two are the same, as far as both are known.
func (s standing) fits(other standing) bool { return s.or(other) == other.or(s) }

// known reports whether it is whole.
func (s standing) known() bool {
	return internalIDs().MatchString(s.entity) && internalIDs().MatchString(s.role)
}

// check refuses what somebody named that can be no internal ID.
func (s standing) check() error {
	for _, id := range []string{s.entity, s.role} {
		if id != "" && !internalIDs().MatchString(id) {
			return refuse(ErrRequest, pb.CodeRequest, fmt.Sprintf("%.40q is no entity or role", id), "it is the internal ID, a number, as NetSuite's lists show it", "see the list:  nsagent cert ls")
		}
	}
	return nil
}

// notKnown refuses to upload a certificate of which nobody knows whom it would stand for.
func notKnown(name string) error {
	return refuse(ErrNetSuite, pb.CodeNetSuite, fmt.Sprintf("the certificate of profile %q was not uploaded", name),
		"it is not known for which entity and role: the present certificate is not in NetSuite's list", "name both:  nsagent cert upload --entity ID --role ID")
}

func (s standing) String() string {
	return fmt.Sprintf("entity %s and role %s", cmp.Or(s.entity, "?"), cmp.Or(s.role, "?"))
}

// otherStanding refuses to upload a certificate of a profile for another entity or role than
// those that the present one stands for.
func otherStanding(name string, own standing) error {
	return refuse(ErrRequest, pb.CodeRequest, fmt.Sprintf("the certificate of profile %q was not uploaded", name),
		fmt.Sprintf("the present one stands for %s at NetSuite, and the next one takes its place for the same", own), "leave --entity and --role out, or upload it by hand:  nsagent cert show --pem -p "+name)
}

// sameStanding refuses a next certificate that NetSuite does not list for whom the present
// one stands.
func sameStanding(st *live, has, present standing) error {
	why := fmt.Sprintf("NetSuite has it for %s, and the present one for %s", has, present)
	switch {
	case present.entity == "" || present.role == "":
		why = fmt.Sprintf("NetSuite has it for %s, and does not list the present one", has)
	case has == present:
		return nil
	}
	next := "see the list:  nsagent cert ls -p " + st.For
	if st.Change == changeCertificate {
		next = "if that is meant, switch by hand:  nsagent cert rotate --by-hand -p " + st.For
	}
	return refuse(ErrNetSuite, pb.CodeNetSuite, fmt.Sprintf("the next certificate of profile %q may be for somebody else", st.For), why, next)
}
