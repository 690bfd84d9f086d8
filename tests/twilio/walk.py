"""What an app written for Twilio Verify does, with Twilio's own SDK for Python. Only the base URL is another one. run.js says in
the environment where the server is and whose credentials are used."""

import datetime
import json
import os
import time
import urllib.parse
import urllib.request

from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

SERVER, INBOX = os.environ["SERVER"], os.environ["INBOX"]
numbers = iter(range(int(os.environ["FIRST_NUMBER"]), 10**9))


def at(client):
    client.verify.base_url = SERVER
    return client.verify.v2


account = os.environ["ACCOUNT_SID"]
verify = at(Client(account, os.environ["AUTH_TOKEN"]))
with_key = at(Client(os.environ["API_KEY_SID"], os.environ["API_KEY_SECRET"], account))
stranger = at(Client(os.environ["OTHER_ACCOUNT_SID"], os.environ["OTHER_AUTH_TOKEN"]))


def number():
    return f"+49151{next(numbers)}"


def code_of(to):
    for _ in range(200):
        with urllib.request.urlopen(f"{INBOX}/dev/inbox.json?to={urllib.parse.quote(to, safe='')}") as answer:
            messages = json.load(answer)
        if messages:
            return messages[0]["code"]
        time.sleep(0.02)
    raise AssertionError("no message")


def wrong(code):
    return code[:-1] + str((int(code[-1]) + 1) % 10)


def refused(status, code, work):
    try:
        work()
    except TwilioRestException as error:
        assert (error.status, error.code) == (status, code), (error.status, error.code, error.msg)
        return
    raise AssertionError(f"not refused with {code}")


service = verify.services.create(friendly_name="My App", code_length=6)
assert service.account_sid == account
assert isinstance(service.date_created, datetime.datetime), service.date_created
here = verify.services(service.sid)
assert here.update(friendly_name="Acme", custom_code_enabled=True).friendly_name == "Acme"
refused(400, 60200, lambda: verify.services.create(friendly_name="Short", code_length=4))
refused(404, 20404, lambda: stranger.services(service.sid).fetch())
refused(401, 20003, lambda: at(Client(account, "0" * 32)).services(service.sid).fetch())

# Start, wrong, right, used.
to = number()
started = here.verifications.create(to=to, channel="sms", locale="de")
assert (started.status, started.valid, started.to) == ("pending", False, to)
assert isinstance(started.date_created, datetime.datetime)
code = code_of(to)
no = here.verification_checks.create(to=to, code=wrong(code))
assert (no.status, no.valid) == ("pending", False)
assert here.verifications(to).fetch().sid == started.sid
yes = here.verification_checks.create(verification_sid=started.sid, code=code)
assert (yes.status, yes.valid) == ("approved", True)
refused(404, 20404, lambda: here.verification_checks.create(to=to, code=code))

# Most messages.
to = number()
first = here.verifications.create(to=to, channel="sms")
for message in range(2, 6):
    again = here.verifications.create(to=to, channel="sms")
    assert again.sid == first.sid and len(again.send_code_attempts) == message
refused(429, 60203, lambda: here.verifications.create(to=to, channel="sms"))

# Most checks.
to = number()
here.verifications.create(to=to, channel="sms")
code = code_of(to)
for _ in range(5):
    assert not here.verification_checks.create(to=to, code=wrong(code)).valid
refused(429, 60202, lambda: here.verification_checks.create(to=to, code=code))

# Called off, and approved on the caller's word.
to = number()
started = here.verifications.create(to=to, channel="sms")
assert here.verifications(started.sid).update(status="canceled").status == "canceled"
own = here.verifications.create(to=to, channel="sms", custom_code="424242")
assert here.verifications(to).update(status="approved").sid == own.sid
mail = f"bob+{os.environ['FIRST_NUMBER']}@example.com"
started = here.verifications.create(to=mail, channel="email")
assert here.verifications(mail).fetch().sid == started.sid
assert here.verification_checks.create(to=mail, code=code_of(mail)).status == "approved"

# What is refused.
refused(400, 60200, lambda: here.verifications.create(to="+49123", channel="sms"))
refused(403, 60223, lambda: here.verifications.create(to=number(), channel="sna"))
refused(400, 60221, lambda: here.verification_checks.create(code="123456"))

# Limits of the app's own.
limit = here.rate_limits.create(unique_name="end_user_ip")
bucket = here.rate_limits(limit.sid).buckets.create(max=1, interval=60)
start = lambda ip: here.verifications.create(to=number(), channel="sms", rate_limits={"end_user_ip": ip})
start("192.0.2.1")
refused(429, 20429, lambda: start("192.0.2.1"))
start("192.0.2.2")
assert here.rate_limits(limit.sid).buckets(bucket.sid).delete() is True
assert here.rate_limits(limit.sid).delete() is True

# Attempts.
attempts = verify.verification_attempts.list(verify_service_sid=service.sid, limit=100)
assert len(attempts) >= 8 and all(isinstance(one.date_created, datetime.datetime) for one in attempts)
assert verify.verification_attempts(attempts[0].sid).fetch().sid == attempts[0].sid
sums = verify.verification_attempts_summary().fetch(verify_service_sid=service.sid)
assert sums.total_attempts == len(attempts)

# An API key; pages are followed to their end.
made = [with_key.services.create(friendly_name=f"Page {index}").sid for index in range(5)]
listed = [one.sid for one in with_key.services.list(page_size=2)]
assert len(set(listed)) == len(listed) and set(made) <= set(listed), listed
for sid in made:
    assert with_key.services(sid).delete() is True
assert here.delete() is True
refused(404, 20404, lambda: here.fetch())
print("PyPI twilio: every step as with Twilio")
