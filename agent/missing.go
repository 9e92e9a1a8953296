package agent

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nsagent/nsagent/vault/store"
)

// noteMissing looks which long secrets of a vault that was just opened are not there:
// they lie in files of their own, which a copy of the vault file alone leaves behind. It
// does not read them; what they hold shows when one is used, and in vault fsck.
func (a *Agent) noteMissing(ctx context.Context, s *session) {
	blobs := slices.Concat(slices.Collect(maps.Values(s.vault.CurrentBlobs()))...)
	lacking, err := store.NewFile(a.cfg.Paths.Vault).Lacking(ctx, blobs)
	if err != nil {
		a.log.Warn("could not look for the files of long secrets", "error", err)
	}
	s.missing = make(map[store.BlobHash]bool)
	for _, h := range lacking {
		s.missing[h] = true
	}
}

// missingSecrets says which profiles have a secret that was missing at the unlock, and
// still is: nobody entered it again, or put its file back.
func (a *Agent) missingSecrets() []string {
	s, err := a.unlocked()
	if err != nil || len(s.missing) == 0 {
		return nil
	}
	file := store.NewFile(a.cfg.Paths.Vault)
	var names []string
	for name, blobs := range s.vault.CurrentBlobs() {
		if slices.ContainsFunc(blobs, func(h store.BlobHash) bool { return s.missing[h] && !file.HasBlobFile(h) }) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return []string{fmt.Sprintf("missing: the file with the secret of %s; copy %s from where this vault comes from, or enter the secret again: nsagent profile edit %s",
		someOf(names), file.Path()+store.BlobSuffix, names[0])}
}

// someOf puts names into quotes, the first few of many.
func someOf(names []string) string {
	const most = 5
	more := ""
	if n := len(names) - most; n > 0 {
		names, more = names[:most], fmt.Sprintf(" and %d more", n)
	}
	return `"` + strings.Join(names, `", "`) + `"` + more
}
