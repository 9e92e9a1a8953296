// The same objects as for require, so that instanceof holds across both.
import nsagent from './index.cjs';

export const {
  Agent, signAxios, signedFetch, signGot, signUndici,
  NSAgentError, Unreachable, Timeout, Locked, NoVault, NoProfile, Denied, ReadOnly, ForeignHost, NotAccepted,
  NotGranted, OutsideGrant, BadURL, BadRequest, Expired, Revoked, Stale, Refused, NetSuiteUnreached, AuditFailed, Limited, TooOld, Internal,
} = nsagent;
export default nsagent;
