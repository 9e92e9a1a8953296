// axios: what arrives is signed, each time anew, and nowhere else.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Agent as HTTPS } from 'node:https';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import axios from 'axios';
import { Agent, BadRequest, BadURL, ForeignHost, Locked, signAxios } from 'nsagent';
import { CA, FORM, OTHER, SITE, hops, record, target, wish } from './stage.mjs';

const agent = new Agent({ profile: 'site' });
const httpsAgent = new HTTPS({ ca: readFileSync(CA), keepAlive: true });

function signing(config = {}) {
  const instance = axios.create({ httpsAgent, proxy: false, ...config });
  signAxios(instance, agent);
  return instance;
}

for (const adapter of ['http', 'fetch']) {
  const client = signing({ adapter });

  test(`${adapter}: methods and queries`, async () => {
    for (const method of ['get', 'delete', 'post', 'put']) {
      const { key, url } = target();
      const data = method[0] === 'p' ? { ü: 1 } : undefined;
      const params = { name: 'Zoë & Söhne', b: ['2', '1'], plus: 'a+b c', empty: '', 'x:y$,z': '[1]' };
      const r = await client.request({ method, url: url + '#part', params, data, headers: { 'Content-Type': 'application/json' } });
      assert.equal(r.status, 200);
      await hops(key, 1);
    }
  });

  test(`${adapter}: base URL`, async () => {
    const { key, url } = target();
    const based = signing({ adapter, baseURL: SITE });
    assert.equal((await based.get(url.slice(SITE.length), { params: { x: 'ü' } })).status, 200);
    await hops(key, 1);
  });

  test(`${adapter}: retries`, async () => {
    const retrying = signing({ adapter });
    retrying.interceptors.response.use(undefined, (e) => {
      if (e.response?.status !== 503) throw e;
      return retrying(e.config); // as axios-retry does
    });
    for (const more of [{}, { method: 'post', data: { a: 1 } }]) {
      const { key, url } = target({ fail: 3 });
      const r = await retrying.request({ url, params: { again: '1' }, ...more });
      assert.equal(r.status, 200);
      for (const hop of await hops(key, 4)) assert.equal(new URL(hop.target, SITE).searchParams.getAll('again').length, 1);
    }
  });

  test(`${adapter}: forms`, async () => {
    const form = { headers: { 'Content-Type': FORM }, validateStatus: () => true };
    for (const data of [new URLSearchParams([['a', '1'], ['a', 'ü &']]), 'a=1&b=%C3%BC', { a: [1, 2], b: 'ü' }, Buffer.from('a=1')]) {
      const r = await client.post(record, data, data instanceof URLSearchParams ? { validateStatus: () => true } : form);
      assert.ok(![401, 403].includes(r.status), JSON.stringify(r.data)); // a form that is not signed is refused with 401
    }
    await assert.rejects(client.post(record, Readable.from(['a=1']), form), BadRequest);
  });

  test(`${adapter}: redirects are not followed`, async () => {
    const to = target({}, OTHER);
    await assert.rejects(client.get(target({ to: to.url }).url), (e) => e.response?.status === 307);
    await assert.rejects(client.get(to.url), (e) => e instanceof ForeignHost || e instanceof BadURL);
    assert.deepEqual(await wish('foreign', to.key), []);
  });
}

test('streams', async () => {
  const { key, url } = target();
  const r = await signing().post(url, Readable.from(['{"a"', ':1}']), { headers: { 'Content-Type': 'application/json' } });
  assert.equal(r.status, 200);
  assert.equal((await hops(key, 1))[0].body, '{"a":1}');
});

test('locked', async () => {
  const { key, url } = target();
  await wish('lock');
  try {
    await assert.rejects(signing().get(url), Locked);
  } finally {
    await wish('unlock');
  }
  await hops(key, 0);
});
