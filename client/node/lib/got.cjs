'use strict';
// Signing for got, by a hook that got calls before each send.

const { header, formBody } = require('./header.cjs');

function signGot(agent, options = {}) {
  return async function sign(request) {
    // got 11 leaves a form apart from the body until it sends it.
    const content = request.form ? new URLSearchParams(request.form).toString() : request.body;
    const contentType = request.headers['content-type'];
    delete request.headers.authorization;
    request.headers.authorization = await header(agent, request.url, request.method, {
      profile: options.profile, contentType, body: formBody(contentType, content), signal: request.signal,
    });
  };
}

module.exports = { signGot };
