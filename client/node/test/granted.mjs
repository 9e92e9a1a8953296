// A job for one profile: what it may do, and what it is refused, as a line each.
import { Agent, NSAgentError } from '../index.mjs';

const HOST = 'https://1234567-sb1.suitetalk.api.netsuite.com/x';

async function outcome(call) {
  try {
    return await call();
  } catch (e) {
    if (!(e instanceof NSAgentError)) throw e;
    const kinds = [];
    for (let p = Object.getPrototypeOf(e); p !== Error.prototype; p = Object.getPrototypeOf(p)) kinds.push(p.constructor.name.replace('NSAgentError', 'Error'));
    return [e.code, ...kinds].join(' ') + '\n' + e.next;
  }
}

async function job() {
  const agent = new Agent();
  console.log(`['${(await agent.profiles()).map((p) => p.name).join("', '")}']`);
  console.log((await agent.sign(HOST, 'GET', { profile: 'acme-sb1' })).profile);
  console.log((await outcome(() => agent.sign(HOST, 'POST', { profile: 'acme-sb1' }))).split('\n')[0]);
  console.log((await outcome(() => agent.sign(HOST, 'GET', { profile: 'acme-sb1-m2m' }))).split('\n')[0]);
  agent.close();
}

const refused = await outcome(job);
if (refused) console.log(refused);
