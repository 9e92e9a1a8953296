// The calls, against a real agent.
import assert from 'node:assert/strict';
import fs, { chmodSync, chownSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import * as named from 'nsagent';
import nsagent, { Agent, BadRequest, BadURL, Denied, ForeignHost, Locked, NoProfile, NSAgentError, ReadOnly, Timeout, Unreachable } from 'nsagent';
import { FORM, HOST, wish } from './stage.mjs';

const require = createRequire(import.meta.url);

test('sign', async () => {
  const agent = new Agent({ profile: 'acme-sb1' });
  const s = await agent.sign(new URL(HOST + '/x?q=ü'), 'DELETE');
  assert.match(s.authorization, /^OAuth realm="1234567_SB1"/);
  assert.deepEqual([s.method, s.url, s.account, s.environment], ['DELETE', HOST + '/x?q=%C3%BC', '1234567_SB1', 'sandbox']);
  assert.ok(Math.abs(s.timestamp - Date.now() / 1000) < 60);
});

test('an unlock token is not left out in silence', () => {
  process.env.NSAGENT_TOKEN_FILE = '/nowhere';
  try {
    assert.throws(() => new Agent({ profile: 'acme-sb1' }), { code: 'NSA-GRANT' });
  } finally {
    delete process.env.NSAGENT_TOKEN_FILE;
  }
});

test('the other calls', async () => {
  const agent = new Agent();
  const p = await agent.passport({ profile: 'acme-sb1', version: '2025_2' });
  assert.equal(p.algorithm, 'HMAC-SHA256');
  assert.match(p.xml, /tokenPassport/);
  assert.equal((await agent.connectPassword({ profile: 'acme-sb1' })).user, 'TBA');
  const a = await agent.assertion({ profile: 'acme-sb1-m2m', scopes: ['rest_webservices'] });
  assert.equal(a.assertion.split('.').length, 3);
  assert.match(a.token_endpoint, /\/services\/rest\/auth\/oauth2\/v1\/token$/);
  const prod = (await agent.profiles()).find((p) => p.name === 'acme-prod');
  assert.deepEqual([prod.access, prod.environment], ['read', 'production']);
  assert.equal((await agent.status()).locked, false);
});

test('tokens', async () => {
  const agent = new Agent({ profile: 'site-m2m' });
  const t = await agent.token();
  assert.deepEqual([t.token_type, t.account, t.environment, t.profile], ['Bearer', '1234567_SB1', 'sandbox', 'site-m2m']);
  assert.deepEqual(t.scopes, ['rest_webservices', 'restlets']);
  const one = await agent.token({ scopes: ['restlets'] });
  assert.deepEqual(one.scopes, ['restlets']);
  assert.notEqual(one.access_token, t.access_token);
  const many = await Promise.all(Array.from({ length: 64 }, () => agent.token()));
  assert.deepEqual(new Set(many.map((m) => m.access_token)), new Set([t.access_token])); // kept by the agent
  await assert.rejects(agent.token({ profile: 'acme-sb1' }), BadRequest);
  await assert.rejects(agent.token({ scopes: ['suite_analytics'] }), Denied);
});

test('refusals', async () => {
  const agent = new Agent({ profile: 'acme-sb1' });
  const prod = 'https://1234567.suitetalk.api.netsuite.com/';
  for (const [kind, code, exitCode, call] of [
    [ForeignHost, 'NSA-HOST', 5, () => agent.sign('https://example.com/')],
    [ReadOnly, 'NSA-READONLY', 5, () => agent.sign(prod, 'POST', { profile: 'acme-prod' })],
    [NoProfile, 'NSA-NOPROFILE', 3, () => agent.sign(HOST + '/', 'GET', { profile: 'nobody' })],
    [BadURL, 'NSA-URL', 2, () => agent.sign('https://user@example.com/')],
    [BadRequest, 'NSA-REQUEST', 2, () => agent.sign(HOST + '/', 'POST', { contentType: FORM, body: '%' })],
    [BadRequest, 'NSA-REQUEST', 2, () => agent.sign(HOST + '/', 'POST', { contentType: FORM, body: Uint8Array.of(0xff) })],
    [BadRequest, 'NSA-REQUEST', 2, () => agent.sign(HOST + '/', 'POST', { contentType: FORM, body: 'a'.repeat(200_000) })],
    [BadRequest, 'NSA-REQUEST', 2, () => agent.assertion({ profile: 'acme-sb1' })],
  ]) {
    await assert.rejects(call, (e) => {
      assert.ok(e instanceof kind && e instanceof NSAgentError, e.stack);
      assert.deepEqual([e.code, e.exitCode, e.name], [code, exitCode, kind.name]);
      assert.ok(e.message.endsWith(`[${code}]`));
      return true;
    });
  }
  assert.ok(ForeignHost.prototype instanceof Denied);
  assert.equal((await agent.sign(HOST + '/', 'POST', { contentType: 'application/json', body: Uint8Array.of(0xff) })).method, 'POST');
});

test('many at once', async () => {
  const agent = new Agent({ profile: 'acme-sb1' });
  const urls = Array.from({ length: 600 }, (_, n) => `${HOST}/?n=${n}`);
  const signed = await Promise.all(urls.map((u) => agent.sign(u)));
  assert.deepEqual(signed.map((s) => s.url), urls);
  assert.equal(new Set(signed.map((s) => s.nonce)).size, 600);
  agent.close();
  await agent.sign(HOST + '/');
});

test('locked', async () => {
  const agent = new Agent({ profile: 'acme-sb1' });
  await wish('lock');
  try {
    await assert.rejects(agent.sign(HOST + '/'), (e) => e instanceof Locked && e.exitCode === 4 && /nsagent unlock/.test(e.next));
    assert.equal((await agent.status()).locked, true);
  } finally {
    await wish('unlock');
  }
  await agent.sign(HOST + '/');
});

test('restart', async () => {
  const agent = new Agent({ profile: 'acme-sb1' });
  await Promise.all(Array.from({ length: 20 }, () => agent.sign(HOST + '/')));
  await wish('stop');
  for (let i = 0; i < 2; i++) {
    await assert.rejects(agent.sign(HOST + '/'), (e) => e instanceof Unreachable && e.code === 'NSA-AGENT' && e.exitCode === 7);
  }
  await wish('start');
  await Promise.all(Array.from({ length: 20 }, () => agent.sign(HOST + '/')));
  await wish('stop');
  await wish('start');
  await agent.sign(HOST + '/'); // the kept connections are all broken
});

test('deadlines', async () => {
  const agent = new Agent({ profile: 'acme-sb1' });
  await agent.sign(HOST + '/');
  await wish('hang');
  try {
    const begin = performance.now();
    await Promise.all(Array.from({ length: 20 }, () => assert.rejects(agent.sign(HOST + '/', 'GET', { timeout: 200 }), Timeout)));
    const signal = AbortSignal.timeout(200);
    await assert.rejects(agent.sign(HOST + '/', 'GET', { signal }), (e) => e === signal.reason);
    await assert.rejects(agent.sign(HOST + '/', 'GET', { signal }), (e) => e === signal.reason);
    assert.ok(performance.now() - begin < 10_000);
  } finally {
    await wish('resume');
  }
  await agent.sign(HOST + '/');
});

test('what is not to be trusted gets no byte', async (t) => {
  const dir = mkdtempSync('/tmp/nsn');
  t.after(() => rmSync(dir, { recursive: true }));
  const at = (name) => join(dir, name);
  let bytes = 0;
  const listen = (name) => new Promise((resolve) => {
    const server = createServer((c) => c.on('data', (d) => { bytes += d.length; }).on('error', () => {}));
    t.after(() => server.close());
    server.listen(at(name), () => resolve(server));
  });
  const refused = (path, says) =>
    assert.rejects(new Agent({ socket: path, profile: 'acme-sb1', timeout: 500 }).sign(HOST + '/'),
      (e) => e instanceof Unreachable && e.message.includes(says));
  writeFileSync(at('file'), '');
  symlinkSync(process.env.NSAGENT_SOCK, at('link'));
  await refused(at('none'), 'there is no socket');
  await refused(at('file'), 'is not a socket');
  await refused(at('link'), 'symbolic link');
  assert.throws(() => new Agent({ socket: at('x'.repeat(120)) }), (e) => e.code === 'NSA-SOCKET');
  await listen('s');
  for (const mode of [0o777, 0o770]) {
    chmodSync(dir, mode);
    await refused(at('s'), 'others may write the directory');
  }
  chmodSync(dir, 0o700);
  if (process.geteuid() === 0) {
    chownSync(at('s'), 65534, 65534);
    await refused(at('s'), 'belongs to uid 65534');
    chownSync(at('s'), 0, 0);
    chownSync(dir, 65534, 65534);
    await refused(at('s'), 'the directory of');
    chownSync(dir, 0, 0);
  }
  assert.equal(bytes, 0);
  await refused(at('s'), 'does not answer in time');
  assert.ok(bytes > 0, 'the server gets what is meant for it');
});

// Another user could bind the path when a server ends; here it is a server of our own.
test('a socket that changes while it is connected to gets no byte', async (t) => {
  const dir = mkdtempSync('/tmp/nsn');
  t.after(() => rmSync(dir, { recursive: true }));
  let bytes = 0;
  for (const name of ['s', 'other']) {
    const server = createServer((c) => c.on('data', (d) => { bytes += d.length; }).on('error', () => {}));
    t.after(() => server.close());
    await new Promise((resolve) => server.listen(join(dir, name), resolve));
  }
  const real = fs.lstatSync;
  let looks = 0;
  t.mock.method(fs, 'lstatSync', (...args) => {
    if (++looks === 2) renameSync(join(dir, 'other'), join(dir, 's'));
    return real(...args);
  });
  await assert.rejects(new Agent({ socket: join(dir, 's'), timeout: 5000 }).sign(HOST + '/'), /changed while it was connected to/);
  assert.deepEqual([looks, bytes], [2, 0]);
});

test('nonsense', async (t) => {
  const dir = mkdtempSync('/tmp/nsn');
  t.after(() => rmSync(dir, { recursive: true }));
  const answers = ['', 'nonsense\r\n\r\n', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{',
    'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{', 'HTTP/1.1 500 x\r\nContent-Length: 2\r\n\r\n{}',
    'HTTP/1.1 403 x\r\nContent-Length: 53\r\n\r\n{"error":{"code":"NSA-NEW","message":"a\\u001b[31m"}} '];
  for (const [i, answer] of answers.entries()) {
    const server = createServer((c) => c.on('error', () => {}).once('data', () => c.end(answer)));
    await new Promise((resolve) => server.listen(join(dir, `s${i}`), resolve));
    await assert.rejects(new Agent({ socket: join(dir, `s${i}`), timeout: 5000 }).sign(HOST + '/'),
      (e) => e instanceof NSAgentError && !/[\x00-\x1f]/.test(e.message));
    server.close();
  }
});

test('import and require give the same objects', () => {
  assert.equal(require('nsagent').Agent, Agent);
  assert.equal(nsagent.Agent, Agent);
  assert.deepEqual({ ...named, default: undefined }, { ...require('nsagent'), default: undefined });
});

test('codes', () => {
  const table = JSON.parse(process.env.CODES);
  assert.deepEqual(require('../lib/codes.cjs').exitCodes, table);
  for (const [code, kind] of Object.entries(require('../lib/errors.cjs').byCode)) assert.equal(new kind(code, '').exitCode, table[code], code);
});
