'use strict';
// The agent's refusals, one class for each code that a program may act on.

class NSAgentError extends Error {
  constructor(code, what, why = '', next = '') {
    super(what + (why ? ': ' + why : '') + ' [' + code + ']');
    this.name = this.constructor.name;
    this.code = code;
    this.what = what;
    this.why = why;
    this.next = next;
    this.exitCode = exitCodes[code] ?? 1;
  }
}

class Unreachable extends NSAgentError {}
class Timeout extends Unreachable {}
class Locked extends NSAgentError {}
class NoVault extends NSAgentError {}
class NoProfile extends NSAgentError {}
class Denied extends NSAgentError {}
class ReadOnly extends Denied {}
class ForeignHost extends Denied {}
class NotAccepted extends Denied {}
class BadURL extends NSAgentError {}
class BadRequest extends NSAgentError {}
class Expired extends NSAgentError {}
class AuditFailed extends NSAgentError {}
class Limited extends NSAgentError {}
class TooOld extends NSAgentError {}
class Internal extends NSAgentError {}

const byCode = {
  'NSA-AGENT': Unreachable,
  'NSA-AUDIT': AuditFailed,
  'NSA-DENIED': Denied,
  'NSA-EXPIRED': Expired,
  'NSA-HOST': ForeignHost,
  'NSA-INTERNAL': Internal,
  'NSA-LIMITED': Limited,
  'NSA-LOCKED': Locked,
  'NSA-NOPROFILE': NoProfile,
  'NSA-NOVAULT': NoVault,
  'NSA-PEER': NotAccepted,
  'NSA-READONLY': ReadOnly,
  'NSA-REQUEST': BadRequest,
  'NSA-URL': BadURL,
  'NSA-VERSION': TooOld,
};

// The codes whose exit code is not 1, as docs/protocol.md has them.
const exitCodes = {
  'NSA-ACCOUNT': 2,
  'NSA-AGENT': 7,
  'NSA-AUDIT-BROKEN': 9,
  'NSA-BACKOFF': 4,
  'NSA-CHECK': 9,
  'NSA-CONFIRM': 6,
  'NSA-CREDENTIAL': 2,
  'NSA-DENIED': 5,
  'NSA-EXPIRED': 10,
  'NSA-HOST': 5,
  'NSA-KEY': 4,
  'NSA-KEYRING': 4,
  'NSA-LOCKED': 4,
  'NSA-NETSUITE': 8,
  'NSA-NOPROFILE': 3,
  'NSA-NOTFOUND': 3,
  'NSA-NOVAULT': 3,
  'NSA-PASSPHRASE': 4,
  'NSA-PEER': 5,
  'NSA-PROOF': 4,
  'NSA-READONLY': 5,
  'NSA-REQUEST': 2,
  'NSA-SOCKET': 2,
  'NSA-URL': 2,
  'NSA-USAGE': 2,
  'NSA-VERSION': 7,
};

/** The error for a code; codes of newer agents are kept. */
function make(code, what, why, next) {
  return new (byCode[code] ?? NSAgentError)(code, what, why, next);
}

function unreachable(why) {
  return make('NSA-AGENT', 'the agent cannot be reached', why, 'start it:  nsagent agent start');
}

function untrusted(why) {
  return make('NSA-AGENT', 'the socket is not to be trusted', why);
}

function timedOut() {
  return new Timeout('NSA-AGENT', 'the agent cannot be reached', 'it does not answer in time');
}

/** The refusal that came with an HTTP status other than 200. */
function fromAnswer(answer, status) {
  const e = answer?.error;
  if (typeof e?.code !== 'string' || !/^NSA-[A-Z-]{1,40}$/.test(e.code)) {
    return make('NSA-INTERNAL', 'the agent answered with an error', 'HTTP status ' + status);
  }
  return make(e.code, oneLine(e.message), oneLine(e.why), oneLine(e.next));
}

/** Keeps what another process sent from writing lines or escape sequences of its own. */
function oneLine(text) {
  return String(text ?? '').slice(0, 2000).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, ' ').trim();
}

module.exports = {
  classes: {
    NSAgentError, Unreachable, Timeout, Locked, NoVault, NoProfile, Denied, ReadOnly, ForeignHost, NotAccepted,
    BadURL, BadRequest, Expired, AuditFailed, Limited, TooOld, Internal,
  },
  byCode, exitCodes, make, unreachable, untrusted, timedOut, fromAnswer,
};
