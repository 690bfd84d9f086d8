"""An authenticator app, its challenges and webhooks by Twilio's own SDK for Python, unmodified but for its base URLs.

run.js says in the environment where the server is and who calls.
"""

import base64
import datetime
import hashlib
import hmac
import http.server
import os
import struct
import threading
import time
import urllib.parse

from twilio.base.exceptions import TwilioRestException
from twilio.request_validator import RequestValidator
from twilio.rest import Client

token = os.environ["AUTH_TOKEN"]
client = Client(os.environ["ACCOUNT_SID"], token)
client.verify.base_url = os.environ["SERVER"]
client.api.base_url = os.environ["INBOX"]
to = f"+49151{os.environ['FIRST_NUMBER']}"


def totp(secret, steps=0):
    """RFC 6238 with SHA-1, six digits, thirty seconds."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    mac = hmac.new(key, struct.pack(">Q", int(time.time()) // 30 + steps), hashlib.sha1).digest()
    number = struct.unpack(">I", mac[mac[19] & 15 :][:4])[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06}"


def wrong(secret):
    """A code that is right at no time near now."""
    right = {totp(secret, steps) for steps in range(-2, 3)}
    return next(code for code in (f"{digit}" * 6 for digit in range(10)) if code not in right)


def refused(code, work):
    try:
        work()
    except TwilioRestException as error:
        assert error.code == code, error
        return
    raise AssertionError(f"{code} was expected")


events = []


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = dict(urllib.parse.parse_qsl(body, keep_blank_values=True))
        url = f"http://127.0.0.1:{receiver.server_port}{self.path}"
        valid = RequestValidator(token).validate(url, form, self.headers["X-Twilio-Signature"])
        events.append((form, valid))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def until(what, ask):
    for _ in range(400):
        answer = ask()
        if answer:
            return answer
        time.sleep(0.025)
    raise AssertionError(f"in vain: {what}")


receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=receiver.serve_forever, daemon=True).start()
hook = f"http://127.0.0.1:{receiver.server_port}/hook?x=1"

sid = client.verify.v2.services.create(friendly_name="Acme").sid
service = client.verify.v2.services(sid)
service.webhooks.create(friendly_name="wh", event_types=["*"], webhook_url=hook)
person = service.entities("user-0123456789")
factor = person.new_factors.create(friendly_name="Bob's phone", factor_type="totp", metadata={"os": "x"})
secret = factor.binding["secret"]
assert factor.status == "unverified" and factor.config["code_length"] == 6
assert person.factors(factor.sid).update(auth_payload=wrong(secret)).status == "unverified"
assert person.factors(factor.sid).update(auth_payload=totp(secret, -1)).status == "verified"
challenge = person.challenges.create(
    factor_sid=factor.sid,
    expiration_date=datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=10),
    details_message="Login?",
    details_fields=[{"label": "IP", "value": "1"}],
    hidden_details={"ip": "1"},
)
assert challenge.status == "pending" and challenge.date_responded is None
assert isinstance(challenge.expiration_date, datetime.datetime)
assert person.challenges(challenge.sid).update(auth_payload=wrong(secret)).status == "pending"
code = totp(secret)
approved = person.challenges(challenge.sid).update(auth_payload=code)
assert approved.status == "approved" and isinstance(approved.date_responded, datetime.datetime)
assert person.challenges.create(factor_sid=factor.sid, auth_payload=code).status == "pending", "a code counts once"
refused(60322, lambda: person.challenges(challenge.sid).update(auth_payload=totp(secret, 1)))
assert len(person.challenges.list(page_size=1)) == 2
assert [found.sid for found in person.challenges.list(status="approved")] == [challenge.sid]
refused(60204, lambda: person.new_factors.create(friendly_name="x", factor_type="push"))
until("three events", lambda: len(events) == 3)
assert all(valid for _, valid in events), "the SDK believes the signatures"
assert sorted(form["type"] for form, _ in events) == ["challenge.approved", "factor.created", "factor.verified"]
for number in range(5):
    service.entities.create(identity=f"person-000{number}")
assert len(service.entities.list(page_size=2)) == 6
assert person.factors(factor.sid).delete() is True
assert person.delete() is True
refused(20404, lambda: person.fetch())
assert client.verify.v2.safelist.create(phone_number=to).sid.startswith("GN")
assert client.verify.v2.safelist(to).delete() is True
message = client.messages.create(to=to, from_="+15005550006", body="Héllo & 1=2", status_callback=hook)
assert message.status == "queued" and isinstance(message.date_created, datetime.datetime)
until("the text", lambda: client.messages(message.sid).fetch().status == "sent")
assert until("the callback", lambda: [valid for form, valid in events if form.get("MessageSid") == message.sid])[0]
assert len(client.messages.list(to=to, page_size=1)) == 1
print("factors: Python has walked")
