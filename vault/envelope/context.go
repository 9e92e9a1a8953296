package envelope

// ID is the name of a vault, a slot or a record: 16 random bytes. It is public.
type ID [16]byte

// Part names one half of a record. The halves are sealed under separate CKs, so
// that whoever is given the one cannot open the other.
type Part string

const (
	// PartSignOnly is what unlock opens: enough to sign, and where the scheme allows
	// it not enough to reveal. Its CK opens the metadata too.
	PartSignOnly Part = "sign-only"
	// PartRaw is opened to rotate and for nothing else.
	PartRaw Part = "raw"
)

// Labels, the first item of each associated data and of the manifest, keep the
// uses of one key apart. Each names the format version.
const (
	labelManifest    = "nsagent/v1 manifest"
	labelManifestKey = "nsagent/v1 manifest key"
	labelSlot        = "nsagent/v1 slot"
	labelCK          = "nsagent/v1 ck"
	labelDEK         = "nsagent/v1 dek"
	labelMetadata    = "nsagent/v1 metadata"
	labelContent     = "nsagent/v1 content"
	labelBlob        = "nsagent/v1 blob"
	labelSealer      = "nsagent/v1 sealer"

	labelGrantKey      = "nsagent/v1 grant key"
	labelGrantMetaKey  = "nsagent/v1 grant meta key"
	labelGrantMeta     = "nsagent/v1 grant meta"
	labelGrantCK       = "nsagent/v1 grant ck"
	labelPolicyKey     = "nsagent/v1 policy key"
	labelPolicyMachine = "nsagent/v1 policy machine"
	labelPolicy        = "nsagent/v1 policy"
)

// The associated data below are CBOR arrays, so that no two of them are the same
// bytes and none is the start of another. They hold where a ciphertext belongs;
// put elsewhere, it does not open.

// ckContext places a CK, sealed under the VRK.
func ckContext(vault, record ID, p Part) []byte {
	var e encoder
	return e.array(5).text(labelCK).uint(Suite1).bytes(vault[:]).bytes(record[:]).text(string(p)).b
}

// metadataContext places the metadata, sealed under the CK of the sign-only part.
func metadataContext(vault, record ID) []byte {
	var e encoder
	return e.array(4).text(labelMetadata).uint(Suite1).bytes(vault[:]).bytes(record[:]).b
}

// dekContext places a DEK, sealed under the CK of its part. metadata is the
// SHA-256 of the sealed metadata: names and limits cannot be taken from another
// record, or from an earlier state of this one, without the DEK refusing to open.
func dekContext(vault, record ID, version uint64, p Part, metadata [32]byte) []byte {
	var e encoder
	return e.array(7).text(labelDEK).uint(Suite1).bytes(vault[:]).bytes(record[:]).uint(version).text(string(p)).bytes(metadata[:]).b
}

// contentContext places a secret, sealed under its DEK.
func contentContext(vault, record ID, version uint64, p Part) []byte {
	var e encoder
	return e.array(6).text(labelContent).uint(Suite1).bytes(vault[:]).bytes(record[:]).uint(version).text(string(p)).b
}

// sealerContext places what a Sealer seals.
func sealerContext(vault ID, use string) []byte {
	var e encoder
	return e.array(4).text(labelSealer).uint(Suite1).bytes(vault[:]).text(use).b
}

// grantMetaContext places what a grant says of itself, sealed under a key that is
// derived from the VRK.
func grantMetaContext(vault, grant ID) []byte {
	var e encoder
	return e.array(4).text(labelGrantMeta).uint(Suite1).bytes(vault[:]).bytes(grant[:]).b
}

// grantCKContext places the CK of a sign-only part, sealed under a wrap key. public is
// the key that signs the manifests: without the VRK nobody knows whether the one in the
// header is the vault's own, and a wrap that opens says so.
func grantCKContext(vault ID, public [32]byte, grant, record ID) []byte {
	var e encoder
	return e.array(6).text(labelGrantCK).uint(Suite1).bytes(vault[:]).bytes(public[:]).bytes(grant[:]).bytes(record[:]).b
}

// policyKeyContext places the key of the policy, sealed under the VRK.
func policyKeyContext(vault ID) []byte {
	var e encoder
	return e.array(3).text(labelPolicyKey).uint(Suite1).bytes(vault[:]).b
}

// policyMachineContext places the key of the policy, sealed under a key that is derived
// from the machine key; see grantCKContext for public.
func policyMachineContext(vault ID, public [32]byte) []byte {
	var e encoder
	return e.array(4).text(labelPolicyMachine).uint(Suite1).bytes(vault[:]).bytes(public[:]).b
}

// policyContext places the text of the policy, sealed under its key.
func policyContext(vault ID) []byte {
	var e encoder
	return e.array(3).text(labelPolicy).uint(Suite1).bytes(vault[:]).b
}

// blobContext places one segment of a blob, sealed under the DEK that is this blob's
// alone: which it is, and of how many.
func blobContext(vault ID, segment, segments uint64) []byte {
	var e encoder
	return e.array(5).text(labelBlob).uint(Suite1).bytes(vault[:]).uint(segment).uint(segments).b
}

// slotContext places the VRK, sealed under the KEK of s. It holds all of the slot
// but the sealed VRK itself.
func slotContext(vault ID, s *Slot) []byte {
	var e encoder
	e.array(7).text(labelSlot).uint(Suite1).bytes(vault[:]).bytes(s.ID[:]).text(string(s.Kind))
	return s.KDF.wire().encode(&e).bytes(s.Salt).b
}
