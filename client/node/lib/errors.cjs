'use strict';
// The agent's refusals, one class for each code that a program may act on.

const { exitCodes } = require('./codes.cjs');

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
class NotGranted extends Denied {}
class OutsideGrant extends Denied {}
class BadURL extends NSAgentError {}
class BadRequest extends NSAgentError {}
class Expired extends NSAgentError {}
class Revoked extends Expired {}
class Stale extends Expired {}
class Refused extends NSAgentError {}
class NetSuiteUnreached extends NSAgentError {}
class AuditFailed extends NSAgentError {}
class Limited extends NSAgentError {}
class TooOld extends NSAgentError {}
class Internal extends NSAgentError {}

const byCode = {
  'NSA-AGENT': Unreachable,
  'NSA-AUDIT': AuditFailed,
  'NSA-DENIED': Denied,
  'NSA-EXPIRED': Expired,
  'NSA-GRANT': NotGranted,
  'NSA-GRANT-SCOPE': OutsideGrant,
  'NSA-HOST': ForeignHost,
  'NSA-INTERNAL': Internal,
  'NSA-LIMITED': Limited,
  'NSA-LOCKED': Locked,
  'NSA-NETSUITE': Refused,
  'NSA-NETWORK': NetSuiteUnreached,
  'NSA-NOPROFILE': NoProfile,
  'NSA-NOVAULT': NoVault,
  'NSA-PEER': NotAccepted,
  'NSA-READONLY': ReadOnly,
  'NSA-REQUEST': BadRequest,
  'NSA-REVOKED': Revoked,
  'NSA-STALE': Stale,
  'NSA-URL': BadURL,
  'NSA-VERSION': TooOld,
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
    NotGranted, OutsideGrant, BadURL, BadRequest, Expired, Revoked, Stale, Refused, NetSuiteUnreached, AuditFailed, Limited, TooOld, Internal,
  },
  byCode, make, unreachable, untrusted, timedOut, fromAnswer,
};
