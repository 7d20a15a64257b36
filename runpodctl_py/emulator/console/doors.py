"""Who may see the console: tickets, sessions, and the hosts it is served under.

A browser has no API key. The command line asks for a ticket with the key and hands it to the
browser, which trades it for a session, a cookie. A session is signed with the key and kept
nowhere, so it outlives a restart of the emulator, and there is nothing to pile up. It opens the
console's own paths and no API.
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runpodctl_py.emulator.clock import Clock

TICKET_S = 60.0
"""How long a ticket is good."""
SESSION_S = 30 * 24 * 3600.0
"""How long a session is good, if the browser does not end it before."""

_MOST_TICKETS = 32
_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})


def is_this_machine(host_header: str) -> bool:
    """Whether a request was meant for this machine, by its Host header.

    A page of another site can have its own name lead to 127.0.0.1 (DNS rebinding); what its
    scripts ask for then comes with that name.
    """
    host, colon, port = host_header.rpartition(":")
    name = host if colon and port.isdecimal() else host_header
    return name.lower() in _HOSTS


class Doors:
    """The tickets and sessions of one emulator.

    Args:
        key: The account's key, which opens everything.
        clock: The machine's clock: a frozen time must not keep tickets good.
    """

    def __init__(self, key: str, clock: Clock) -> None:
        self._key = key.encode()
        self._signing = hmac.digest(self._key, b"the console's sessions", "sha256")
        self._clock = clock
        self._tickets: dict[str, float] = {}

    def issue_ticket(self) -> str:
        """Returns a new ticket; of very many, the oldest are not good any more."""
        while len(self._tickets) >= _MOST_TICKETS:
            del self._tickets[next(iter(self._tickets))]
        ticket = secrets.token_urlsafe(24)
        self._tickets[ticket] = self._clock.machine() + TICKET_S
        return ticket

    def use_ticket(self, given: str) -> bool:
        """Returns whether a ticket is good; it is not any more after this."""
        known = [each for each in self._tickets if hmac.compare_digest(*_encoded(each, given))]
        return any(self._tickets.pop(each) > self._clock.machine() for each in known)

    def is_key(self, given: str) -> bool:
        """Returns whether this is the account's key."""
        return hmac.compare_digest(given.encode(errors="replace"), self._key)

    def open_session(self) -> str:
        """Returns a new session, as it stands in a cookie."""
        named = f"{int(self._clock.now())}.{secrets.token_hex(8)}"
        return f"{named}.{self._signature(named)}"

    def admits(self, session: str) -> bool:
        """Returns whether a session is one of ours, and still good."""
        named, _, signature = session.rpartition(".")
        if not hmac.compare_digest(*_encoded(self._signature(named), signature)):
            return False
        return int(named.partition(".")[0]) > self._clock.now() - SESSION_S

    def _signature(self, named: str) -> str:
        return hmac.digest(self._signing, named.encode(errors="replace"), "sha256").hex()


def _encoded(*texts: str) -> list[bytes]:
    return [each.encode(errors="replace") for each in texts]
