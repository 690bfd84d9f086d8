"""Values for the string formats that the description has of its own."""

import ipaddress

import schemathesis
from hypothesis import strategies as st

digits = st.sampled_from("0123456789")


def number(prefix, count):
    """A mobile number: the country's code, the start of a mobile range, and so many digits more."""
    return st.lists(digits, min_size=count, max_size=count).map(lambda rest: prefix + "".join(rest))


phones = st.one_of(
    number("+491511", 7),
    number("+4366412", 6),
    number("+33612", 6),
    number("+4474001", 5),
    number("+1415555", 4),
    number("+9198765", 5),
    # As people write them.
    number("+49 (151) 1", 7),
)

labels = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=12)
mailboxes = st.builds("{}@{}.example".format, labels, labels)

addresses = st.one_of(
    st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address),
    st.integers(0, 2**128 - 1).map(ipaddress.IPv6Address),
).map(str)

schemathesis.openapi.format("destination", st.one_of(phones, mailboxes))
schemathesis.openapi.format("ip", addresses)
schemathesis.openapi.format("phone", phones)
schemathesis.openapi.format("mailbox", mailboxes)
