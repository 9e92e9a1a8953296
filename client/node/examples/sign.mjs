// Sign one request, and send it in a way of one's own.
import { Agent } from 'nsagent';

const agent = new Agent({ profile: 'acme-sb1' });
const signed = await agent.sign('https://1234567-sb1.suitetalk.api.netsuite.com/services/rest/record/v1/customer?limit=5');
const answer = await fetch(signed.url, { method: signed.method, headers: { Authorization: signed.authorization }, redirect: 'manual' });
console.log(signed.account, answer.status, (await answer.json()).count, 'customers');

// Output: 1234567_SB1 200 5 customers
