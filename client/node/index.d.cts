/** How Agent connects. */
export interface AgentOptions {
  /** The socket; without it NSAGENT_SOCK, else $XDG_RUNTIME_DIR/nsagent/agent.sock. */
  socket?: string;
  /** The profile of calls that name none; without it NSAGENT_PROFILE, else the only one there is. */
  profile?: string;
  /** How long a call may take, in milliseconds; 30000 if left out. */
  timeout?: number;
  /**
   * Users whose sockets are trusted beside one's own (and NSAGENT_SOCK_UID). Node.js
   * cannot ask who listens: that the socket is theirs, and stays the same while it
   * connects, stands for it.
   */
  serverUIDs?: readonly number[];
}

export interface CallOptions {
  profile?: string;
  /** How long this call may take, in milliseconds. */
  timeout?: number;
  /** Ends the call with its reason. */
  signal?: AbortSignal;
}

export interface SignOptions extends CallOptions {
  contentType?: string;
  /** Matters for forms (application/x-www-form-urlencoded) only: nothing else is signed, or sent to the agent. */
  body?: string | Uint8Array;
}

export interface PassportOptions extends CallOptions {
  /** The SOAP endpoint, such as 2025_2; the latest if left out. */
  version?: string;
}

export interface AssertionOptions extends CallOptions {
  /** Some of the profile's scopes; all if left out. */
  scopes?: readonly string[];
  /** The token endpoint; the account's own if left out. */
  audience?: string;
}

export interface TokenOptions extends CallOptions {
  /** Some of the profile's scopes; all if left out. */
  scopes?: readonly string[];
}

interface Named {
  account: string;
  environment: string;
  profile: string;
}

/** The OAuth 1.0 header of one request, good for one send within five minutes. */
export interface Signature extends Named {
  authorization: string;
  method: string;
  /** Send exactly this. */
  url: string;
  nonce: string;
  /** In Unix seconds. */
  timestamp: number;
}

/** The TokenPassport of one SOAP request; xml is the header element. */
export interface Passport extends Named {
  consumerKey: string;
  token: string;
  nonce: string;
  timestamp: number;
  signature: string;
  algorithm: string;
  xml: string;
}

/** User and password of one SuiteAnalytics Connect session. */
export interface ConnectPassword extends Named {
  user: string;
  password: string;
  expires_at: string;
}

/** The client assertion of one token request, and the endpoint to post it to. */
export interface Assertion extends Named {
  assertion: string;
  expires_at: string;
  token_endpoint: string;
}

/**
 * An OAuth 2.0 access token: whoever has it can do what the role may do, until it ends.
 * It is good for a minute at least, or for half of its life: ask for it anew for each
 * use, and do not keep it.
 */
export interface Token extends Named {
  access_token: string;
  token_type: string;
  expires_at: string;
  scopes: string[];
}

/** A profile that the caller may use. */
export interface Profile {
  name: string;
  account: string;
  environment: string;
  auth: string;
  access: string;
  state: string;
  expires_at?: string | null;
  last_used?: string | null;
}

/** The state of the agent; docs/protocol.md lists all keys. */
export interface Status {
  version: string;
  pid: number;
  locked: boolean;
  [key: string]: unknown;
}

/**
 * The agent behind one socket. It serves a whole program and any number of calls at
 * once. It outlives the agent: where that was stopped and started again, the next
 * call connects to the new one. The path is checked for each connection. Each call
 * rejects with an NSAgentError.
 */
export declare class Agent {
  constructor(options?: AgentOptions);
  readonly socket: string;
  readonly profile: string;
  readonly timeout: number;
  /** url is absolute and percent-encoded as it goes on the wire; method is GET if left out. */
  sign(url: string | URL, method?: string, options?: SignOptions): Promise<Signature>;
  passport(options?: PassportOptions): Promise<Passport>;
  connectPassword(options?: CallOptions): Promise<ConnectPassword>;
  assertion(options?: AssertionOptions): Promise<Assertion>;
  /** The agent gets one from NetSuite where it keeps none, for however many callers wait. */
  token(options?: TokenOptions): Promise<Token>;
  profiles(options?: CallOptions): Promise<Profile[]>;
  /** Works while locked. */
  status(options?: CallOptions): Promise<Status>;
  /** Ends the connections that are kept. The agent can still be used. */
  close(): void;
}

export interface SigningOptions {
  profile?: string;
}

export interface FetchOptions extends SigningOptions {
  /** What sends; globalThis.fetch if left out. */
  fetch?: typeof globalThis.fetch;
}

/**
 * Returns a fetch that signs each request, and each hop of a redirect anew. A
 * redirect to a host that is not the profile's rejects, and nothing is sent there.
 */
export declare function signedFetch(agent: Agent, options?: FetchOptions): typeof globalThis.fetch;

/** What signAxios needs of an axios instance. */
export interface AxiosLike {
  getUri(config?: any): string;
  interceptors: { request: { use(onFulfilled: (config: any) => any): number } };
}

/**
 * Adds an interceptor that signs each request of an axios instance, and each retry
 * anew. Add it before other interceptors: axios runs them last to first. Redirects
 * are not followed. Returns the number for interceptors.request.eject.
 */
export declare function signAxios(instance: AxiosLike, agent: Agent, options?: SigningOptions): number;

/**
 * Returns a hook for hooks.beforeRequest of got, 11 or later, which signs each
 * request, each retry and each hop of a redirect anew. got wraps what it throws in a
 * RequestError, whose code is then that of the refusal, such as NSA-LOCKED.
 */
export declare function signGot(agent: Agent, options?: SigningOptions): (request: any) => Promise<void>;

/**
 * Returns an interceptor for compose of a dispatcher of undici, 6 or later, which signs
 * each send. Let it be the first that compose gets: those for retries and redirects
 * come after it, and so go through it again.
 */
export declare function signUndici(
  agent: Agent,
  options?: SigningOptions,
): (dispatch: (request: any, handler: any) => boolean) => (request: any, handler: any) => boolean;

/** A refusal by the agent, or the failure to reach it. */
export declare class NSAgentError extends Error {
  constructor(code: string, what: string, why?: string, next?: string);
  /** Stable, such as NSA-LOCKED; docs/protocol.md lists all of them. */
  readonly code: string;
  /** What failed, why in plain words, and what to type; the last two may be empty. */
  readonly what: string;
  readonly why: string;
  readonly next: string;
  /** What the nsagent command would exit with. */
  readonly exitCode: number;
}

/** The agent cannot be reached, or its socket is not to be trusted (NSA-AGENT). */
export declare class Unreachable extends NSAgentError {}
/** The agent did not answer within the time that the caller gave it. */
export declare class Timeout extends Unreachable {}
/** The vault is locked: a person has to unlock it (NSA-LOCKED). */
export declare class Locked extends NSAgentError {}
/** There is no vault yet (NSA-NOVAULT). */
export declare class NoVault extends NSAgentError {}
/** There is no such profile (NSA-NOPROFILE). */
export declare class NoProfile extends NSAgentError {}
/** It is not allowed (NSA-DENIED); trying again leaves a record each time. */
export declare class Denied extends NSAgentError {}
/** The profile is limited to reading (NSA-READONLY). */
export declare class ReadOnly extends Denied {}
/** The URL's host is not one of the profile's account (NSA-HOST). */
export declare class ForeignHost extends Denied {}
/** The agent takes this process for another one, or for gone (NSA-PEER). */
export declare class NotAccepted extends Denied {}
/** The unlock token is damaged or of another vault, or cannot be shown (NSA-GRANT). */
export declare class NotGranted extends Denied {}
/** The unlock token does not allow it (NSA-GRANT-SCOPE). */
export declare class OutsideGrant extends Denied {}
/** The URL cannot be signed as it stands (NSA-URL). */
export declare class BadURL extends NSAgentError {}
/** The request is malformed, or the profile cannot make it (NSA-REQUEST). */
export declare class BadRequest extends NSAgentError {}
/** The credential has expired or was revoked (NSA-EXPIRED). */
export declare class Expired extends NSAgentError {}
/** The grant was revoked (NSA-REVOKED). */
export declare class Revoked extends Expired {}
/** The sandbox was refreshed, and the credential is from before that (NSA-STALE). */
export declare class Stale extends Expired {}
/** NetSuite answered, and refused (NSA-NETSUITE). */
export declare class Refused extends NSAgentError {}
/** The agent could not reach NetSuite (NSA-NETWORK). */
export declare class NetSuiteUnreached extends NSAgentError {}
/** The agent cannot write its audit log, so it signs nothing (NSA-AUDIT). */
export declare class AuditFailed extends NSAgentError {}
/** Too much at once: try again later (NSA-LIMITED). */
export declare class Limited extends NSAgentError {}
/** The agent is older than this package and lacks the call (NSA-VERSION). */
export declare class TooOld extends NSAgentError {}
/** Something failed in the agent that should not have (NSA-INTERNAL). */
export declare class Internal extends NSAgentError {}
