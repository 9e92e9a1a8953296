// Sign many requests at once: an Agent serves any number of calls.
import { Agent } from 'nsagent';

const agent = new Agent({ profile: 'acme-sb1' });
const urls = Array.from({ length: 100 }, (_, n) => `https://1234567-sb1.suitetalk.api.netsuite.com/services/rest/record/v1/customer/${n}`);
const signed = await Promise.all(urls.map((url) => agent.sign(url)));
console.log(signed.every((s, n) => s.url === urls[n]), new Set(signed.map((s) => s.nonce)).size, 'nonces');

// Output: true 100 nonces
