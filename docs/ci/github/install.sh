#!/usr/bin/env bash
# install.sh: fetch a release of nsagent, check it against SHA256, and put it on the PATH
# of the steps that follow. Nothing of an archive that does not match is unpacked.
set -euo pipefail
umask 077
: "${VERSION:?}" "${BASE_URL:?}" "${RUNNER_TEMP:?}" "${GITHUB_PATH:?}"

if [[ ! ${SHA256:-} =~ ^[0-9a-f]{64}$ ]]; then
  echo "nsagent: give the input sha256: 64 hexadecimal digits, from the release notes" >&2
  exit 2
fi
for program in curl tar sha256sum; do
  command -v "$program" >/dev/null || { echo "nsagent: this runner has no $program, which the release is fetched with" >&2; exit 1; }
done
version=${VERSION#v} # of the name of a tag
case $(uname -m) in
  x86_64) arch=amd64 ;;
  aarch64) arch=arm64 ;;
  *) echo "nsagent: no release for $(uname -m)" >&2; exit 1 ;;
esac
dir=$(mktemp -d "$RUNNER_TEMP/nsagent.XXXXXX")
archive=$dir/nsagent.tar.gz
curl --fail --silent --show-error --location --proto '=https' --tlsv1.2 --retry 3 --max-time 120 \
  --output "$archive" "$BASE_URL/v$version/nsagent_${version}_linux_$arch.tar.gz"
if ! echo "$SHA256  $archive" | sha256sum --check --status; then
  echo "nsagent: the archive of release $version has another SHA-256 than the input says" >&2
  rm -rf "$dir"
  exit 1
fi
tar -xzf "$archive" -C "$dir" --no-same-owner nsagent
rm "$archive"
echo "$dir" >>"$GITHUB_PATH"
