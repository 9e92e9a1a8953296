// A program of each client library, driven by TestCompat: one line of JSON a request,
// as in client/python/tests/compat.py.
import { createInterface } from 'node:readline';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Agent as HTTPS } from 'node:https';
import { Agent, signAxios, signGot, signUndici, signedFetch } from 'nsagent';

const require = createRequire(import.meta.url);
const { CA, SITE } = process.env;
const ca = readFileSync(CA);
const agent = new Agent({ profile: 'site' });
const version = (name) => require(`./node_modules/${name}/package.json`).version;
const query = (q) => new URLSearchParams(q.params);
const full = (q) => `${q.url}?${query(q)}`;
const body = (q) => (q.form ? new URLSearchParams(q.form) : q.json ? JSON.stringify(q.json) : undefined);
const headers = (q) => ({ ...(q.json ? { 'Content-Type': 'application/json' } : {}), ...q.headers });

function builtInFetch() {
  const fetch = signedFetch(agent);
  return [process.versions.node, async (q) => (await fetch(full(q), { method: q.method, headers: headers(q), body: body(q) })).status];
}

async function useAxios(name, config = {}, retry = undefined) {
  const { default: axios } = await import(name);
  const instance = axios.create({ httpsAgent: new HTTPS({ ca, keepAlive: true }), proxy: false, validateStatus: () => true, ...config });
  signAxios(instance, agent);
  retry?.(instance);
  return [version(name), async (q) =>
    (await instance.request({ method: q.method, url: q.url, params: query(q), headers: headers(q), data: q.form ? new URLSearchParams(q.form) : q.json })).status];
}

async function axiosRetry() {
  const { default: retry } = await import('axios-retry');
  const [, send] = await useAxios('axios', { validateStatus: (s) => s !== 503 }, (instance) =>
    retry(instance, { retries: 3, retryDelay: () => 0, retryCondition: (e) => e.response?.status === 503 }));
  return [version('axios-retry'), send];
}

// got 11 is for require, later ones are for import.
async function useGot(name) {
  const got = name === 'got11' ? require(name) : (await import(name)).got;
  const client = got.extend({
    hooks: { beforeRequest: [signGot(agent)] },
    https: { certificateAuthority: ca },
    retry: { limit: 3, methods: ['GET', 'POST'], statusCodes: [503], calculateDelay: ({ computedValue }) => (computedValue ? 1 : 0) },
    methodRewriting: false,
    throwHttpErrors: false,
  });
  return [version(name), async (q) =>
    (await client(q.url, {
      method: q.method, searchParams: query(q), headers: q.headers,
      ...(q.form ? { form: Object.fromEntries(q.form) } : q.json ? { json: q.json } : {}),
    })).statusCode];
}

// netsuite-rest makes its header in a method, and hands the options to got after that.
function netsuiteRest() {
  const NetsuiteRest = require('netsuite-rest');
  class Signing extends NetsuiteRest {
    getAuthorizationHeader(options) {
      options.hooks.beforeRequest = [signGot(agent)];
      return {};
    }
  }
  const client = new Signing({ realm: '1234567_SB1', base_url: SITE });
  return [version('netsuite-rest'), async (q) => {
    try {
      const path = '../../' + new URL(full(q)).href.slice(SITE.length + 1);
      const form = q.form && { 'Content-Type': 'application/x-www-form-urlencoded' };
      return (await client.request({ path, method: q.method, body: body(q)?.toString(), heads: { ...headers(q), ...form } })).statusCode;
    } catch (e) {
      if (e.response && !String(e.code).startsWith('NSA-')) return e.response.statusCode;
      throw e;
    }
  }];
}

function useUndici(name, how) {
  const undici = require(name);
  const { redirect, retry } = undici.interceptors;
  const dispatcher = new undici.Agent({ connect: { ca } }).compose(
    signUndici(agent),
    ...(how === 'fetch' ? [] : [redirect({ maxRedirections: 5 })]),
    retry({ maxRetries: 3, minTimeout: 1, statusCodes: [503], methods: ['GET', 'POST'] }),
  );
  const send = {
    request: async (q) => {
      const content = q.form ? new URLSearchParams(q.form).toString() : body(q);
      const form = q.form && { 'Content-Type': 'application/x-www-form-urlencoded' };
      const r = await undici.request(full(q), { dispatcher, method: q.method, headers: { ...headers(q), ...form }, body: content });
      await r.body.dump();
      return r.statusCode;
    },
    fetch: async (q) => (await undici.fetch(full(q), { dispatcher, method: q.method, headers: headers(q), body: body(q) })).status,
  }[how];
  return [version(name), send];
}

// A program that made its header with oauth-1.0a asks the agent for it instead.
function oauth10a() {
  return [version('oauth-1.0a'), async (q) => {
    const request = { url: full(q), method: q.method };
    const form = q.form && { contentType: 'application/x-www-form-urlencoded', body: body(q).toString() };
    const { authorization, url } = await agent.sign(request.url, request.method, form);
    const init = { method: q.method, headers: { ...headers(q), Authorization: authorization }, body: body(q), redirect: 'manual' };
    return (await fetch(url, init)).status;
  }];
}

async function soapClient() {
  const soap = require('soap');
  const client = await soap.createClientAsync(process.env.WSDL, { endpoint: `${SITE}/services/NetSuitePort_2025_2` });
  client.setSecurity({ addOptions: (o) => { o.httpsAgent = new HTTPS({ ca }); }, toXML: () => '' });
  return [version('soap'), async () => {
    const { xml } = await agent.passport({ version: '2025_2' });
    client.clearSoapHeaders();
    client.addSoapHeader(xml);
    const [, raw] = await client.getServerTimeAsync({});
    return raw.includes('serverTime') ? 200 : 0;
  }];
}

async function bearer() {
  return [process.versions.node, async (q) => {
    const { assertion, token_endpoint } = await agent.assertion({ profile: 'site-m2m', scopes: ['restlets'] });
    const answer = await fetch(token_endpoint, { method: 'POST', body: new URLSearchParams({
      grant_type: 'client_credentials', client_assertion: assertion,
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer' }) });
    const { access_token } = await answer.json();
    return (await fetch(full(q), { headers: { ...headers(q), Authorization: `Bearer ${access_token}` } })).status;
  }];
}

const programs = {
  fetch: builtInFetch,
  axios: () => useAxios('axios'),
  'axios-fetch': () => useAxios('axios', { adapter: 'fetch' }),
  'axios-retry': axiosRetry,
  'axios-first': () => useAxios('axios-first'),
  'axios-zero': () => useAxios('axios-zero'),
  got: () => useGot('got'),
  got13: () => useGot('got13'),
  got12: () => useGot('got12'),
  got11: () => useGot('got11'),
  'netsuite-rest': netsuiteRest,
  undici: () => useUndici('undici', 'request'),
  'undici-fetch': () => useUndici('undici', 'fetch'),
  undici6: () => useUndici('undici6', 'request'),
  'undici6-fetch': () => useUndici('undici6', 'fetch'),
  'oauth-1.0a': oauth10a,
  soap: soapClient,
  bearer,
};

/** What a program catches: its class, and the code of the refusal in it or in its causes. */
function caught(e) {
  const error = e.name;
  while (e && !String(e.code).startsWith('NSA-')) e = e.cause;
  return { error, code: e?.code ?? '' };
}

const [used, send] = await programs[process.argv[2]]();
const say = (answer) => process.stdout.write(JSON.stringify(answer) + '\n');
say({ version: used });
for await (const line of createInterface({ input: process.stdin })) {
  const q = JSON.parse(line);
  say(await Promise.all(Array.from({ length: q.times }, () => send(q).then((status) => ({ status }), caught))));
}
process.exit(0);
