'use strict';
// Sign NetSuite requests through nsagent, without ever holding a secret.
// index.d.cts describes every name.

const { Agent } = require('./lib/agent.cjs');
const { signAxios } = require('./lib/axios.cjs');
const errors = require('./lib/errors.cjs');
const { signedFetch } = require('./lib/fetch.cjs');
const { signGot } = require('./lib/got.cjs');
const { signUndici } = require('./lib/undici.cjs');

module.exports = { Agent, signAxios, signedFetch, signGot, signUndici, ...errors.classes };
