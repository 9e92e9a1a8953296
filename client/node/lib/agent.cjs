'use strict';
// The calls.

const http = require('node:http');
const errors = require('./errors.cjs');
const socket = require('./socket.cjs');

// How many calls of one Agent are under way at once. An agent has 256 connections
// for all programs of a user; a signature takes it well below a millisecond.
const connections = 8;
// The largest form that is signed, and the longest answer that is read, in bytes.
const maxForm = 128 << 10;
const maxAnswer = 5 << 20;

/** Keeps connections to one socket, which is checked for each of them. */
class Connections extends http.Agent {
  constructor(path, uids) {
    super({ keepAlive: true, maxSockets: connections });
    this.path = path;
    this.uids = uids;
  }

  createConnection(_, created) {
    try {
      return socket.connect(this.path, this.uids);
    } catch (e) {
      process.nextTick(created, e);
      return undefined;
    }
  }
}

class Agent {
  #connections;

  constructor(options = {}) {
    const env = process.env;
    this.socket = socket.find(options.socket, env);
    this.profile = options.profile || env.NSAGENT_PROFILE || '';
    this.timeout = options.timeout ?? 30_000;
    this.#connections = new Connections(this.socket, socket.trusted(env, options.serverUIDs ?? []));
  }

  close() {
    this.#connections.destroy();
  }

  async sign(url, method = 'GET', options = {}) {
    const q = { profile: options.profile || this.profile, method, url: String(url), content_type: options.contentType };
    if (isForm(options.contentType) && options.body?.length) q.body = formText(options.body);
    const out = await this.#call('sign', q, options);
    if (typeof out.authorization !== 'string' || out.authorization === '') throw notUnderstood();
    return out;
  }

  passport(options = {}) {
    return this.#call('passport', { profile: options.profile || this.profile, version: options.version }, options);
  }

  connectPassword(options = {}) {
    return this.#call('connect-password', { profile: options.profile || this.profile }, options);
  }

  assertion(options = {}) {
    const q = { profile: options.profile || this.profile, scope: options.scopes, aud: options.audience };
    return this.#call('assertion', q, options);
  }

  async token(options = {}) {
    const out = await this.#call('token', { profile: options.profile || this.profile, scope: options.scopes }, options);
    if (typeof out.access_token !== 'string' || out.access_token === '') throw notUnderstood();
    return out;
  }

  async profiles(options = {}) {
    const out = await this.#ask('GET', 'profiles', undefined, options);
    if (!Array.isArray(out)) throw notUnderstood();
    return out;
  }

  async status(options = {}) {
    return object(await this.#ask('GET', 'status', undefined, options));
  }

  async #call(name, q, options) {
    const given = Object.entries(q).filter(([, v]) => v !== undefined && v !== '' && v !== null);
    return object(await this.#ask('POST', name, JSON.stringify(Object.fromEntries(given)), options));
  }

  async #ask(method, name, body, options) {
    const deadline = performance.now() + (options.timeout ?? this.timeout);
    for (;;) {
      const result = await this.#exchange(method, '/v1/' + name, body, deadline, options.signal);
      if (result === broken) continue;
      let answer;
      try {
        answer = JSON.parse(result.text);
      } catch {
        answer = undefined;
      }
      if (result.status !== 200) throw errors.fromAnswer(answer, result.status);
      return answer;
    }
  }

  // Asks once. It gives broken where a kept connection had ended, as it does when
  // the agent was restarted: a signature that got lost with it is asked for again.
  #exchange(method, path, body, deadline, signal) {
    return new Promise((resolve, reject) => {
      const left = deadline - performance.now();
      if (signal?.aborted) return reject(signal.reason);
      if (left <= 0) return reject(errors.timedOut());
      const headers = body === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
      const request = http.request({ agent: this.#connections, host: 'nsagent', method, path, headers });
      const end = (finish, value) => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
        finish(value);
      };
      const giveUp = (error) => {
        request.destroy();
        end(reject, error);
      };
      const abort = () => giveUp(signal.reason);
      const timer = setTimeout(() => giveUp(errors.timedOut()), Math.min(left, 0x7fffffff));
      signal?.addEventListener('abort', abort, { once: true });
      const failed = (e) => {
        if (e instanceof errors.classes.NSAgentError) return end(reject, e);
        if (request.reusedSocket) return end(resolve, broken);
        const nobody = e.code === 'ECONNREFUSED' || e.code === 'ENOENT';
        end(reject, errors.unreachable(nobody ? 'nobody listens at ' + this.socket : 'the connection broke'));
      };
      request.on('error', failed);
      request.on('response', (response) => {
        const parts = [];
        let length = 0;
        response.on('error', failed);
        response.on('data', (part) => {
          parts.push(part);
          length += part.length;
          if (length > maxAnswer) giveUp(notUnderstood());
        });
        response.on('end', () => {
          if (response.complete) end(resolve, { status: response.statusCode, text: Buffer.concat(parts).toString() });
        });
      });
      request.end(body);
    });
  }
}

const broken = Symbol('broken');

/** Reports whether a Content-Type is that of a form, as the agent decides it. */
function isForm(contentType) {
  const media = String(contentType ?? '').split(';', 1)[0].replace(/^[ \t]+|[ \t]+$/g, '');
  return media.toLowerCase() === 'application/x-www-form-urlencoded';
}

function formText(body) {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  if (bytes.length > maxForm) {
    throw errors.make('NSA-REQUEST', 'the form is too long to be signed', `a form body has at most ${maxForm} bytes`);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw errors.make('NSA-REQUEST', 'the form cannot be signed', 'it is not UTF-8: percent-encode it');
  }
}

function object(answer) {
  if (answer === null || typeof answer !== 'object' || Array.isArray(answer)) throw notUnderstood();
  return answer;
}

function notUnderstood() {
  return errors.make('NSA-INTERNAL', 'the agent answered in a form that is not understood');
}

module.exports = { Agent, isForm, maxForm };
