// Buy an access token with a client assertion (OAuth 2.0, M2M), and use it.
import { Agent } from 'nsagent';

const { assertion, token_endpoint, profile } = await new Agent({ profile: 'acme-sb1-m2m' }).assertion({ scopes: ['rest_webservices'] });
const bought = await fetch(token_endpoint, {
  method: 'POST',
  body: new URLSearchParams({
    grant_type: 'client_credentials',
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: assertion,
  }),
});
const { access_token } = await bought.json();

const url = 'https://1234567-sb1.suitetalk.api.netsuite.com/services/rest/record/v1/customer?limit=5';
const answer = await fetch(url, { headers: { Authorization: `Bearer ${access_token}` } });
console.log(profile, answer.status);

// Output: acme-sb1-m2m 200
