package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
	"time"
)

// Children of the tests are the test binary itself, told by the environment what
// to do, on which file, and with which number.
const (
	childTask   = "STORE_TEST_CHILD"
	childPath   = "STORE_TEST_PATH"
	childNumber = "STORE_TEST_NUMBER"
)

func TestMain(m *testing.M) {
	if task := os.Getenv(childTask); task != "" {
		// strace counts the calls of each thread by itself.
		runtime.LockOSThread()
		number, err := strconv.ParseUint(os.Getenv(childNumber), 10, 32)
		if err == nil {
			err = childTasks()[task](os.Getenv(childPath), uint32(number))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func childTasks() map[string]func(path string, number uint32) error {
	return map[string]func(string, uint32) error{
		"vault-writer":   vaultWriter,
		"vault-adder":    vaultAdder,
		"vault-once":     vaultOnce,
		"ledger-writer":  ledgerWriter,
		"ledger-once":    ledgerOnce,
		"ledger-compact": ledgerCompact,
		"full-disk":      fullDisk,
	}
}

// childCommand returns the command of a child. Through prefix, if any, it is run.
func childCommand(t testing.TB, task, path string, number int, prefix ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := append(prefix, exe)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), childTask+"="+task, childPath+"="+path, childNumber+"="+strconv.Itoa(number), "GOMAXPROCS=2")
	cmd.Stderr = os.Stderr
	return cmd
}

// testMAC stands in for the machine key.
func testMAC(mac *[32]byte, msg []byte) error {
	h := hmac.New(sha256.New, []byte("machine key of the tests"))
	h.Write(msg)
	h.Sum(mac[:0])
	return nil
}

// numberID returns the ID of record i of writer, numberRecord its content and
// numberSubject it as a subject of the ledger.
func numberID(writer, i uint32) ID {
	var id ID
	binary.BigEndian.PutUint32(id[:], writer)
	binary.BigEndian.PutUint32(id[4:], i)
	return id
}

func numberRecord(id ID) []byte {
	sum := sha256.Sum256(id[:])
	return append(sum[:], id[:]...)
}

func testVaultID() []byte { return []byte("vault of a test!") }

// acknowledge tells the parent that record or entry i is durable.
func acknowledge(i uint32) error {
	_, err := os.Stdout.Write(binary.BigEndian.AppendUint32(nil, i))
	return err
}

// vaultWriter adds one record after the other until it is killed.
func vaultWriter(path string, number uint32) error {
	f := NewFile(path)
	s, err := f.Load(context.Background())
	if err != nil {
		return err
	}
	generation := s.Generation
	for i := uint32(0); ; i++ {
		id := numberID(number, i)
		generation, err = f.Commit(context.Background(), generation, Change{Put: map[ID][]byte{id: numberRecord(id)}})
		if err != nil {
			return err
		}
		if err := acknowledge(i); err != nil {
			return err
		}
	}
}

// additions is how many records each of the vaultAdders adds.
const additions = 5

// vaultAdder adds records beside other adders, and counts them in the root.
func vaultAdder(path string, number uint32) error {
	f := NewFile(path)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for i := uint32(0); i < additions; {
		s, err := f.Load(ctx)
		if err != nil {
			return err
		}
		count, err := strconv.Atoi(string(s.Root))
		if err != nil {
			return err
		}
		id := numberID(number, i)
		_, err = f.Commit(ctx, s.Generation, Change{
			Root: []byte(strconv.Itoa(count + 1)),
			Put:  map[ID][]byte{id: numberRecord(id)},
		})
		switch {
		case errors.Is(err, ErrConflict):
			continue
		case err != nil:
			return err
		}
		i++
	}
	return nil
}

// vaultOnce adds one record, and says so.
func vaultOnce(path string, number uint32) error {
	f := NewFile(path)
	s, err := f.Load(context.Background())
	if err != nil {
		return err
	}
	id := numberID(number, 0)
	if _, err := f.Commit(context.Background(), s.Generation, Change{Put: map[ID][]byte{id: numberRecord(id)}}); err != nil {
		return err
	}
	return acknowledge(0)
}

// ledgerWriter appends one entry after the other until it is killed, and now and
// then compacts.
func ledgerWriter(path string, number uint32) error {
	l, err := OpenLedger(context.Background(), path, testVaultID(), testMAC)
	if err != nil {
		return err
	}
	for i := uint32(0); ; i++ {
		id := numberID(number, i)
		if err := l.Append(Entry{Kind: 1, Subject: id[:], Value: uint64(i)}); err != nil {
			return err
		}
		if err := acknowledge(i); err != nil {
			return err
		}
		if i%8 == 7 {
			if err := l.Compact(); err != nil {
				return err
			}
		}
	}
}

// ledgerOnce opens the ledger and appends two entries at once.
func ledgerOnce(path string, number uint32) error {
	l, err := OpenLedger(context.Background(), path, testVaultID(), testMAC)
	if err != nil {
		return err
	}
	one, two := numberID(number, 0), numberID(number, 1)
	if err := l.Append(Entry{1, one[:], 1}, Entry{1, two[:], 2}); err != nil {
		return err
	}
	return acknowledge(0)
}

// ledgerCompact opens the ledger, compacts it and appends two entries, even if the
// compaction failed.
func ledgerCompact(path string, number uint32) error {
	l, err := OpenLedger(context.Background(), path, testVaultID(), testMAC)
	if err != nil {
		return err
	}
	compactErr := l.Compact()
	one, two := numberID(number, 0), numberID(number, 1)
	if err := l.Append(Entry{1, one[:], 1}, Entry{1, two[:], 2}); err != nil {
		return errors.Join(compactErr, err)
	}
	return acknowledge(0)
}
