// Package policy makes one decision: whether an attempt to use a credential may go
// ahead.
//
// Decide is pure: everything it goes by, the time included, is in the Attempt, so
// that the same attempt always gets the same answer and the audit log can be
// checked against it. Whatever no rule allows is denied. The caller must have
// established who the caller is and that the target belongs to the profile's
// account, and must write the decision down before it acts on it.
package policy
