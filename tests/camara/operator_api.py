"""The server from the outside: its operations, its token endpoint, and the inbox where the messages are seen."""

import base64
import itertools
import json
import os
import time
import urllib.error
import urllib.request

API = "/one-time-password-sms/vwip"
# "config_var" of the scenarios.
CONFIG = {"message": "{{code}} is your short code to authenticate with Cool App via SMS", "max_length": 160, "max_send": 6, "max_try": 5}


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


class Operator:
    def __init__(self):
        self.root = os.environ["CAMARA_API_ROOT"]
        self.client = f"{os.environ['CAMARA_CLIENT_ID']}:{os.environ['CAMARA_CLIENT_SECRET']}"
        self.numbers = itertools.count(1)

    def call(self, path, headers, body):
        request = urllib.request.Request(self.root + path, body, headers, method="POST")
        try:
            response = urllib.request.urlopen(request, timeout=30)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            return Answer(response.status, response.headers, response.read().decode())

    def token(self):
        basic = base64.b64encode(self.client.encode()).decode()
        form = b"grant_type=client_credentials&scope=one-time-password-sms:send-validate"
        answer = self.call("/oauth2/token", {"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"}, form)
        assert answer.status == 200, answer.body
        return answer.json()["access_token"]

    def post(self, operation, body):
        headers = {"Authorization": f"Bearer {self.token()}", "Content-Type": "application/json"}
        return self.call(f"{API}/{operation}", headers, json.dumps(body).encode())

    def send(self, number):
        answer = self.post("send-code", {"phoneNumber": number, "message": CONFIG["message"]})
        assert answer.status == 200, answer.body
        return answer.json()["authenticationId"]

    def code(self, authentication_id):
        """The value received in the SMS."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with urllib.request.urlopen(self.root + "/dev/inbox.json?limit=1000", timeout=30) as response:
                for message in json.load(response):
                    if message["verification"] == authentication_id:
                        return message["code"]
            time.sleep(0.05)
        raise AssertionError("no message came")

    def fresh_number(self):
        """One that has used up none of its limits."""
        return f"+49151{10_000_000 + next(self.numbers)}"
