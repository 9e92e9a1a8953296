'use strict';
// Signing for axios, by an interceptor of requests.

const { isForm } = require('./agent.cjs');
const errors = require('./errors.cjs');

function signAxios(instance, agent, options = {}) {
  return instance.interceptors.request.use(async (config) => {
    // axios puts the URL together after this, from its parts; signed is the whole.
    const url = new URL(instance.getUri(config));
    url.hash = '';
    config.url = url.href;
    delete config.baseURL;
    delete config.params;
    const contentType = config.headers.get('Content-Type') || undefined;
    let body;
    if (config.data instanceof URLSearchParams || isForm(contentType)) body = form(config);
    const signed = await agent.sign(url.href, (config.method ?? 'get').toUpperCase(), {
      profile: options.profile,
      contentType: body === undefined ? contentType : config.headers.get('Content-Type'),
      body,
      signal: config.signal,
    });
    if (signed.url !== url.href) throw errors.make('NSA-INTERNAL', 'the agent signed another URL than it was asked to');
    config.headers.set('Authorization', signed.authorization);
    // With a redirect the header would go to another URL, and may be to another host.
    config.maxRedirects = 0;
    config.fetchOptions = { ...config.fetchOptions, redirect: 'manual' };
    return config;
  });
}

// Does to a form now what axios would do to it later, and returns it.
function form(config) {
  for (const transform of [config.transformRequest ?? []].flat()) {
    config.data = transform.call(config, config.data, config.headers);
  }
  if (config.data == null) return undefined;
  if (typeof config.data !== 'string' && !(config.data instanceof Uint8Array) && !(config.data instanceof ArrayBuffer)) {
    throw errors.make('NSA-REQUEST', 'the form cannot be signed', 'a form is part of the signature and cannot be a stream');
  }
  return config.data instanceof ArrayBuffer ? new Uint8Array(config.data) : config.data;
}

module.exports = { signAxios };
