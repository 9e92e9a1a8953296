#!/usr/bin/env bash
# id-token.sh: ask GitHub for an ID token of this job, for AUDIENCE alone, and leave it in a
# file that only this user reads. nsagent takes it from there, once: for another nsagent
# command, use the action again. No token is ever an argument of a program.
set -euo pipefail
umask 077
: "${AUDIENCE:?}" "${RUNNER_TEMP:?}" "${GITHUB_ENV:?}"

if [[ -z ${ACTIONS_ID_TOKEN_REQUEST_URL:-} || -z ${ACTIONS_ID_TOKEN_REQUEST_TOKEN:-} ]]; then
  echo "nsagent: this job may not have an ID token" >&2
  echo "  give it one:  permissions: { id-token: write, contents: read }" >&2
  echo "  GitHub gives none to workflows of pull requests from forks" >&2
  exit 1
fi
if [[ ! $AUDIENCE =~ ^nsagent:[0-9a-f]{32}$ ]]; then
  echo "nsagent: the audience is nsagent: and 32 hexadecimal digits, as nsagent grant show prints it" >&2
  exit 2
fi
file=$(mktemp "$RUNNER_TEMP/nsagent-id.XXXXXX")
# The headers go to curl by its standard input: arguments are there for everybody to read.
printf 'header = "Authorization: bearer %s"\n' "$ACTIONS_ID_TOKEN_REQUEST_TOKEN" |
  curl --fail --silent --show-error --proto '=https' --tlsv1.2 --retry 3 --max-time 30 --config - \
    "$ACTIONS_ID_TOKEN_REQUEST_URL&audience=$AUDIENCE" |
  sed -n 's/.*"value" *: *"\([A-Za-z0-9_.-]*\)".*/\1/p' >"$file"
if [[ ! -s $file ]]; then
  echo "nsagent: GitHub's answer has no token in it" >&2
  rm -f "$file"
  exit 1
fi
echo "NSAGENT_OIDC_TOKEN_FILE=$file" >>"$GITHUB_ENV"
