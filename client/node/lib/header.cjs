'use strict';
// What every hook does: ask for the header of one request, and for nothing else.

const { isForm, maxForm } = require('./agent.cjs');
const errors = require('./errors.cjs');

/**
 * The Authorization header for one send of a request. url is a URL whose fragment
 * does not count; body matters for forms. It rejects if the agent signed another URL.
 */
async function header(agent, url, method, options) {
  const sent = new URL(url);
  sent.hash = '';
  const signed = await agent.sign(sent.href, method, options);
  if (signed.url !== sent.href) throw errors.make('NSA-INTERNAL', 'the agent signed another URL than it was asked to');
  return signed.authorization;
}

/**
 * The body of a request as it is signed: undefined unless it is a form, and then a
 * string or bytes. What can be read only once is refused.
 */
function formBody(contentType, body) {
  if (!isForm(contentType) || body === undefined || body === null) return undefined;
  if (typeof body === 'string' || body instanceof Uint8Array) return body;
  if (body instanceof ArrayBuffer) return new Uint8Array(body);
  throw errors.make('NSA-REQUEST', 'the form cannot be signed', 'a form is part of the signature and cannot be a stream');
}

/** Reads an iterable of parts, at most one byte more than a form may have. */
async function whole(parts) {
  const read = [];
  let length = 0;
  for await (const part of parts) {
    read.push(Buffer.from(part));
    length += part.length;
    if (length > maxForm) break;
  }
  return Buffer.concat(read);
}

module.exports = { header, formBody, whole };
