'use strict';
// Signing for undici, by an interceptor of dispatchers.

const { stringify } = require('node:querystring');
const { isForm } = require('./agent.cjs');
const { header, formBody, whole } = require('./header.cjs');

function signUndici(agent, options = {}) {
  return (dispatch) =>
    function sign(request, handler) {
      signed(agent, options.profile, request).then(
        (ready) => dispatch(ready, handler),
        // Handlers of undici 7 have the first, those of undici 6 the second.
        (error) => (handler.onResponseError ? handler.onResponseError(null, error) : handler.onError(error)),
      );
      return true;
    };
}

// The request with its header, as undici takes it: the path with its query, and
// headers as a flat list.
async function signed(agent, profile, request) {
  const { query, ...rest } = request;
  const path = query ? request.path + '?' + stringify(query) : request.path;
  const headers = pairs(request.headers).filter(([name]) => name.toLowerCase() !== 'authorization');
  const contentType = headers.find(([name]) => name.toLowerCase() === 'content-type')?.[1];
  let body = request.body;
  if (isForm(contentType) && body && typeof body !== 'string' && !(body instanceof Uint8Array)) body = await whole(body);
  const authorization = await header(agent, request.origin + path, request.method, {
    profile, contentType, body: formBody(contentType, body), signal: signalOf(request.signal),
  });
  return { ...rest, path, body, headers: [...headers, ['authorization', authorization]].flat() };
}

// undici takes headers as an object, as a flat list, or as pairs.
function pairs(headers) {
  if (!headers) return [];
  if (!Array.isArray(headers)) return headers[Symbol.iterator] ? [...headers] : Object.entries(headers).filter(([, v]) => v !== undefined);
  const out = [];
  for (let i = 0; i < headers.length; i += 2) out.push([String(headers[i]), headers[i + 1]]);
  return out;
}

// undici also takes an event emitter for a signal, which ends no call to the agent.
function signalOf(signal) {
  return signal instanceof AbortSignal ? signal : undefined;
}

module.exports = { signUndici };
