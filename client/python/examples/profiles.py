"""List the profiles that this program may use, and the state of the agent."""

import nsagent

with nsagent.Agent(timeout=5) as agent:
    print("locked:", agent.status().locked)
    for p in agent.profiles():
        print(p.name, p.account, p.auth, p.access, p.state)

# Output:
# locked: False
# acme-prod 1234567 tba read ready
# acme-sb1 1234567_SB1 tba write ready
# acme-sb1-m2m 1234567_SB1 m2m write ready
# mock 1234567_SB1 tba write ready
