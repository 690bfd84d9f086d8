#!/usr/bin/env python3
"""A real SMTP server for tests/it/smtp.rs: aiosmtpd, on a port that the system chooses.

Says {"port": …} on standard output, then a line for each log-in, each connection and each mail that it has taken. Ends when
its standard input does. Some local parts of recipients are special: "nobody" is unknown, "later" must wait, "relay" is
refused by policy, and "spam" is refused with the text.
"""

import argparse
import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


def say(**what):
    print(json.dumps(what), flush=True)


class Handler:
    ANSWERS = {
        "nobody": "550 5.1.1 No such user here",
        "later": "451 4.7.1 Try again later",
        "relay": "550 5.7.1 Relaying denied",
    }

    async def handle_RCPT(self, server, session, envelope, address, options):
        answer = self.ANSWERS.get(address.split("@")[0])
        if answer:
            return answer
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server, session, envelope):
        if envelope.rcpt_tos[0].startswith("spam@"):
            return "554 5.6.0 Not this"
        say(
            mail=envelope.content.decode("utf-8", "surrogateescape"), sender=envelope.mail_from, to=envelope.rcpt_tos,
            encrypted=session.ssl is not None or server.transport.get_extra_info("ssl_object") is not None,
            user=getattr(session.auth_data, "login", b"").decode(),
        )
        return "250 2.0.0 Taken"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encryption", choices=["none", "starttls", "tls"])
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--user")
    parser.add_argument("--password")
    chosen = parser.parse_args()

    context = None
    if chosen.encryption != "none":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(chosen.certificate, chosen.key)

    def authenticate(server, session, envelope, mechanism, data):
        right = (data.login.decode(), data.password.decode()) == (chosen.user, chosen.password)
        say(login=right, mechanism=mechanism)
        return AuthResult(success=right, handled=False, auth_data=data)

    def connection():
        say(connection=True)
        return SMTP(
            Handler(), hostname="mail.test", loop=loop, enable_SMTPUTF8=True, auth_required=chosen.user is not None, authenticator=authenticate,
            tls_context=context if chosen.encryption == "starttls" else None, require_starttls=chosen.encryption == "starttls",
            auth_require_tls=chosen.encryption == "starttls",
        )

    loop = asyncio.new_event_loop()
    tls = context if chosen.encryption == "tls" else None
    server = loop.run_until_complete(loop.create_server(connection, "127.0.0.1", 0, ssl=tls))
    say(port=server.sockets[0].getsockname()[1])
    # The test closes our standard input when it is done, however it ends.
    loop.add_reader(sys.stdin, lambda: sys.stdin.readline() or loop.stop())
    loop.run_forever()


main()
