// Compiled only: the types as a program uses them.
import axios from 'axios';
import nsagent, { Agent, Locked, NSAgentError, signAxios, signGot, signUndici, signedFetch, type Signature } from 'nsagent';

const agent: Agent = new Agent({ profile: 'acme-sb1', timeout: 1000 });
const signed: Signature = await agent.sign('https://example.com/', 'POST', { contentType: 'text/plain', body: new Uint8Array(1) });
const header: string = signed.authorization;
const number: number = signAxios(axios.create(), agent, { profile: 'acme-sb1' });
const response: Response = await signedFetch(agent)('https://example.com/', { headers: { header } });
try {
  await agent.passport({ version: '2025_2' });
} catch (e) {
  if (e instanceof Locked) console.log(e.next satisfies string, e.exitCode satisfies number);
  if (e instanceof nsagent.NSAgentError || e instanceof NSAgentError) console.log(e.code);
}
const bearer: string = (await agent.token({ scopes: ['restlets'] })).access_token;
console.log(bearer);
// @ts-expect-error: a profile is a string
new Agent({ profile: 1 });
// @ts-expect-error: there is no such call
agent.unlock();
console.log(number, response.status, (await agent.profiles())[0]?.name, (await agent.status()).locked);
const hook: (request: any) => Promise<void> = signGot(agent, { profile: 'acme-sb1' });
const interceptor: (dispatch: () => boolean) => unknown = signUndici(agent);
console.log(hook, interceptor);
