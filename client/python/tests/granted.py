"""A job for one profile: what it may do, and what it is refused, as a line each."""

import nsagent

HOST = "https://1234567-sb1.suitetalk.api.netsuite.com/x"


def outcome(call):
    try:
        return call()
    except nsagent.Error as e:
        kinds = [k.__name__ for k in type(e).__mro__ if issubclass(k, nsagent.Error)]
        return " ".join([e.code, *kinds]) + "\n" + e.next


def job():
    with nsagent.Agent() as agent:
        print([p.name for p in agent.profiles()])
        print(agent.sign(HOST, profile="acme-sb1").profile)
        print(outcome(lambda: agent.sign(HOST, "POST", profile="acme-sb1")).splitlines()[0])
        print(outcome(lambda: agent.sign(HOST, profile="acme-sb1-m2m")).splitlines()[0])


refused = outcome(job)
if refused:
    print(refused)
