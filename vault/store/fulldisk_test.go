package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/internal/needs"
)

// TestFullDiskKeepsTheOldState writes to a small tmpfs, in a mount namespace of
// the child's own.
func TestFullDiskKeepsTheOldState(t *testing.T) {
	needs.Root(t, "mounts a tmpfs")
	cmd := childCommand(t, "full-disk", privateDir(t), 0)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.Output()
	if errors.Is(err, syscall.EPERM) {
		needs.Missing(t, "mount", err.Error()) // a container without the capability
	}
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

func fullDisk(dir string, _ uint32) error {
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k,mode=0700"); err != nil {
		return fmt.Errorf("mounting a tmpfs: %w", err)
	}
	if err := fullDiskVault(filepath.Join(dir, "vault.nsv")); err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	return fullDiskLedger(filepath.Join(dir, "ledger"))
}

// fullDiskVault adds records until there is no room, then makes room.
func fullDiskVault(path string) error {
	ctx := context.Background()
	f := NewFile(path)
	if err := f.Create(ctx, Change{}); err != nil {
		return err
	}
	want, err := f.Load(ctx)
	if err != nil {
		return err
	}
	for i := byte(0); ; i++ {
		record := make([]byte, 5000)
		if want.Generation, err = f.Commit(ctx, uint64(i)+1, Change{Put: map[ID][]byte{{i}: record}}); err != nil {
			break
		}
		want.Records[ID{i}] = record
	}
	fmt.Printf("vault: %d records, then: %v\n", len(want.Records), err)
	want.Generation = uint64(len(want.Records)) + 1
	if !errors.Is(err, unix.ENOSPC) || len(want.Records) < 3 {
		return fmt.Errorf("not a full disk: %w", err)
	}
	for range 3 { // and again: no leftovers fill the rest
		got, err := f.Load(ctx)
		if err != nil || !reflect.DeepEqual(got, want) {
			return fmt.Errorf("generation %d with %d records, want %d with %d: %w", got.Generation, len(got.Records), want.Generation, len(want.Records), err)
		}
		if _, err := f.Commit(ctx, want.Generation, Change{Put: map[ID][]byte{{255}: make([]byte, 5000)}}); !errors.Is(err, unix.ENOSPC) {
			return fmt.Errorf("not a full disk any more: %w", err)
		}
	}
	names, err := filepath.Glob(path + ".tmp-*")
	if err != nil || len(names) != 0 {
		return fmt.Errorf("left behind: %q, %w", names, err)
	}
	if err := os.Remove(path + ".prev"); err != nil {
		return err
	}
	if _, err = f.Commit(ctx, want.Generation, Change{Put: map[ID][]byte{{255}: make([]byte, 5000)}}); err != nil {
		return fmt.Errorf("after making room: %w", err)
	}
	return os.Remove(path + ".prev")
}

// fullDiskLedger appends until there is no room, then makes room.
func fullDiskLedger(path string) error {
	l, err := OpenLedger(context.Background(), path, testVaultID(), testMAC)
	if err != nil {
		return err
	}
	count := uint32(0)
	for ; ; count++ {
		id := numberID(0, count)
		if err = l.Append(Entry{1, id[:], uint64(count)}); err != nil {
			break
		}
	}
	fmt.Printf("ledger: %d entries, then: %v\n", count, err)
	if !errors.Is(err, unix.ENOSPC) || count < 100 {
		return fmt.Errorf("not a full disk: %w", err)
	}
	if err := l.Compact(); !errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("compacted on a full disk: %w", err)
	}
	check := func() error {
		for i := range count {
			id := numberID(0, i)
			if got, ok := l.Get(1, id[:]); !ok || got != uint64(i) {
				return fmt.Errorf("entry %d of %d is %d, %v", i, count, got, ok)
			}
		}
		if n := len(l.values); n != int(count) {
			return fmt.Errorf("%d entries, want %d", n, count)
		}
		return nil
	}
	if err := check(); err != nil {
		return err
	}
	if err := l.Close(); err != nil {
		return err
	}
	if l, err = OpenLedger(context.Background(), path, testVaultID(), testMAC); err != nil {
		return fmt.Errorf("opening on a full disk: %w", err)
	}
	if err := check(); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(filepath.Dir(path), "vault.nsv")); err != nil {
		return err
	}
	id := numberID(0, count)
	if err := l.Append(Entry{1, id[:], uint64(count)}); err != nil {
		return fmt.Errorf("after making room: %w", err)
	}
	count++
	return check()
}
