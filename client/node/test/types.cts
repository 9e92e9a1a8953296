import nsagent = require('nsagent');

const agent: nsagent.Agent = new nsagent.Agent();
void agent.assertion({ scopes: ['restlets'] }).then((a) => a.token_endpoint satisfies string);
