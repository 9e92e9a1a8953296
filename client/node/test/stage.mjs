// What the tests share: wishes to the Go test that started them, and a NetSuite.
import assert from 'node:assert/strict';
import { createInterface } from 'node:readline';

export const { SITE, OTHER, CA } = process.env;
export const HOST = 'https://1234567-sb1.suitetalk.api.netsuite.com';
export const FORM = 'application/x-www-form-urlencoded';
const RECORD = '/services/rest/record/v1/customer';
const RESTLET = '/app/site/hosting/restlet.nl?script=1&deploy=1';
export const record = SITE + RECORD;

const lines = createInterface({ input: process.stdin });
const waiting = [];
lines.on('line', (line) => {
  waiting.shift()(JSON.parse(line));
  if (waiting.length === 0) process.stdin.unref();
});
process.stdin.unref();

/** Asks for lock, unlock, stop, start, hang, resume, or for what arrived. */
export function wish(...words) {
  return new Promise((resolve) => {
    waiting.push(resolve);
    process.stdin.ref();
    process.stdout.write('\n!' + words.join(' ') + '\n');
  });
}

let keys = 0;

/** A URL whose requests this test finds again by its key. */
export function target(query = {}, base = SITE) {
  const key = `k${process.pid}-${++keys}`;
  return { key, url: base + RESTLET + '&' + new URLSearchParams({ key, ...query }) };
}

/** The n requests that arrived with a key, each with a signature of its own. */
export async function hops(key, n) {
  const all = await wish('hops', key);
  assert.equal(all.length, n, JSON.stringify(all));
  assert.ok(all.every((h) => h.signed === 1 && h.nonce !== ''), JSON.stringify(all));
  assert.equal(new Set(all.map((h) => h.nonce)).size, n);
  return all;
}
