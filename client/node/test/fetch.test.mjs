// fetch: what arrives is signed, each time anew, and nowhere else.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Agent, BadURL, ForeignHost, Locked, signedFetch } from 'nsagent';
import { FORM, OTHER, SITE, hops, record, target, wish } from './stage.mjs';

const fetch = signedFetch(new Agent({ profile: 'site' }));
const json = { 'Content-Type': 'application/json' };
const foreign = (e) => e instanceof ForeignHost || e instanceof BadURL;

test('methods and queries', async () => {
  for (const method of ['GET', 'DELETE', 'POST', 'PUT']) {
    const { key, url } = target();
    const body = method[0] === 'P' ? '{"ü":1}' : undefined;
    const r = await fetch(url + '&name=Zoë & Söhne&b=2&b=1&plus=a%2Bb+c&empty=#part', { method, headers: json, body });
    assert.equal(r.status, 200, await r.text());
    await hops(key, 1);
  }
});

test('no signature twice', async () => {
  const { key, url } = target();
  const request = new Request(url);
  for (let i = 0; i < 3; i++) assert.equal((await fetch(request)).status, 200);
  await hops(key, 3);
});

test('retries', async () => {
  const { key, url } = target({ fail: 3 });
  let r;
  do r = await fetch(url); while (r.status === 503);
  assert.equal(r.status, 200);
  await hops(key, 4);
});

test('bodies', async () => {
  const stream = () => new ReadableStream({ start(c) { c.enqueue(Buffer.from('{"a"')); c.enqueue(Buffer.from(':1}')); c.close(); } });
  for (const init of [{ body: '{"a":1}' }, { body: Buffer.from('{"a":1}') }, { body: stream(), duplex: 'half' }]) {
    const { key, url } = target();
    const r = await fetch(url, { method: 'POST', headers: json, ...init });
    assert.equal(r.status, 200, await r.text());
    assert.equal((await hops(key, 1))[0].body, '{"a":1}');
  }
});

test('forms', async () => {
  for (const init of [{ body: new URLSearchParams([['a', '1'], ['a', 'ü &']]) }, { body: 'a=1&b=%C3%BC', headers: { 'Content-Type': FORM } }]) {
    const r = await fetch(record, { method: 'POST', ...init });
    assert.ok(![401, 403].includes(r.status), await r.text()); // a form that is not signed is refused with 401
  }
});

test('redirects within the account', async () => {
  for (const [code, method, then, body] of [[307, 'POST', 'POST', '{"a":1}'], [308, 'PUT', 'PUT', '{"a":1}'], [302, 'POST', 'GET', ''], [303, 'PUT', 'GET', '']]) {
    const to = target();
    const from = target({ to: to.url, code });
    const r = await fetch(from.url, { method, headers: json, body: '{"a":1}' });
    assert.equal(r.status, 200, await r.text());
    await hops(from.key, 1);
    const [hop] = await hops(to.key, 1);
    assert.deepEqual([hop.method, hop.body], [then, body]);
  }
});

test('redirects that are not followed', async () => {
  assert.equal((await fetch(target({ to: SITE }).url, { redirect: 'manual' })).status, 307);
  await assert.rejects(fetch(target({ to: SITE }).url, { redirect: 'error' }), TypeError);
  const body = new ReadableStream({ start(c) { c.enqueue(Buffer.from('{}')); c.close(); } });
  await assert.rejects(fetch(target({ to: target().url }).url, { method: 'POST', headers: json, body, duplex: 'half' }), TypeError);
});

test('other hosts', async () => {
  const to = target({}, OTHER);
  await assert.rejects(fetch(to.url), foreign);
  await assert.rejects(fetch(target({ to: to.url }).url), foreign);
  assert.deepEqual(await wish('foreign', to.key), []);
});

test('locked, restarted, cancelled', async () => {
  const { key, url } = target();
  await wish('lock');
  try {
    await assert.rejects(fetch(url), Locked);
  } finally {
    await wish('unlock');
  }
  await hops(key, 0);
  await wish('stop');
  await wish('start');
  assert.equal((await fetch(url)).status, 200);
  await assert.rejects(fetch(url, { signal: AbortSignal.abort() }), (e) => e.name === 'AbortError');
});
