// List the profiles that this program may use, and the state of the agent.
import { Agent } from 'nsagent';

const agent = new Agent({ timeout: 5000 });
console.log('locked:', (await agent.status()).locked);
for (const p of await agent.profiles()) console.log(p.name, p.account, p.auth, p.access, p.state);

// Output:
// locked: false
// acme-prod 1234567 tba read ready
// acme-sb1 1234567_SB1 tba write ready
// acme-sb1-m2m 1234567_SB1 m2m write ready
// mock 1234567_SB1 tba write ready
