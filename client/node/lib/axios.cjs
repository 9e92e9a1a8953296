'use strict';
// Signing for axios, by an interceptor of requests.

const { isForm } = require('./agent.cjs');
const errors = require('./errors.cjs');
const { header, formBody } = require('./header.cjs');

function signAxios(instance, agent, options = {}) {
  return instance.interceptors.request.use(async (config) => {
    if (typeof config.headers?.get !== 'function') {
      throw errors.make('NSA-USAGE', 'this axios cannot be signed for', 'its interceptors do not see the headers', 'use axios 1.2 or later');
    }
    // axios puts the URL together after this, from its parts; signed is the whole.
    const url = new URL(instance.getUri(config));
    url.hash = '';
    config.url = url.href;
    delete config.baseURL;
    delete config.params;
    const contentType = config.headers.get('Content-Type') || undefined;
    let body;
    if (config.data instanceof URLSearchParams || isForm(contentType)) body = form(config);
    const authorization = await header(agent, url, (config.method ?? 'get').toUpperCase(), {
      profile: options.profile,
      contentType: body === undefined ? contentType : config.headers.get('Content-Type'),
      body,
      signal: config.signal,
    });
    config.headers.set('Authorization', authorization);
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
  return formBody(config.headers.get('Content-Type'), config.data);
}

module.exports = { signAxios };
