'use strict';
// A fetch that signs.

const { isForm } = require('./agent.cjs');
const { header } = require('./header.cjs');

// As many redirects as fetch itself follows.
const maxHops = 20;

function signedFetch(agent, options = {}) {
  const send = options.fetch ?? globalThis.fetch;
  return async function fetch(input, init) {
    const first = new Request(input, init);
    const mode = first.redirect;
    let request = new Request(first, { redirect: 'manual' });
    for (let hop = 0; ; hop++) {
      request = await sign(agent, options.profile, request);
      const response = await send(request);
      const location = response.headers.get('location');
      if (![301, 302, 303, 307, 308].includes(response.status) || location === null || mode === 'manual') return response;
      await response.body?.cancel();
      if (mode === 'error' || hop === maxHops) throw new TypeError('fetch failed: unexpected redirect');
      request = next(input, init, request, response.status, new URL(location, request.url));
    }
  };
}

// The request of the next hop, by the rules of fetch. A body can be sent again only
// where init holds it as a whole.
function next(input, init, last, status, url) {
  const headers = new Headers(last.headers);
  headers.delete('Authorization');
  const common = { headers, signal: last.signal, redirect: 'manual' };
  if ((status === 303 && last.method !== 'HEAD') || (status <= 302 && last.method === 'POST')) {
    for (const name of ['Content-Type', 'Content-Length', 'Content-Encoding', 'Content-Language', 'Content-Location']) {
      headers.delete(name);
    }
    return new Request(url, { ...common, method: last.method === 'HEAD' ? 'HEAD' : 'GET' });
  }
  const body = init?.body;
  const streamed = body instanceof ReadableStream || typeof body?.[Symbol.asyncIterator] === 'function';
  if (streamed || (body == null && input instanceof Request && input.body !== null)) {
    throw new TypeError('fetch failed: a stream cannot be sent again with a redirect');
  }
  return new Request(url, { ...common, method: last.method, body });
}

async function sign(agent, profile, request) {
  const contentType = request.headers.get('Content-Type') ?? undefined;
  let body;
  if (isForm(contentType) && request.body !== null) {
    body = Buffer.from(await request.arrayBuffer());
    request = new Request(request.url, {
      method: request.method, headers: request.headers, signal: request.signal, redirect: 'manual', body,
    });
  }
  const authorization = await header(agent, request.url, request.method, { profile, contentType, body, signal: request.signal });
  request.headers.set('Authorization', authorization);
  return request;
}

module.exports = { signedFetch };
