"""The ``WWW-Authenticate`` header of a refusal (RFC 9110 section 11.6.1), as far as OAuth is concerned.

It is read in one pass, so that the time is linear whatever a server sends.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_LONGEST = 8192
_TOKENS = re.compile(r'"((?:[^"\\]|\\.?)*)(?:"|\Z)|([^\s,="]+)|([,=])')
_SCHEMES = ("bearer", "dpop")


class Challenge(NamedTuple):
    """The challenge of a resource server (RFC 6750 section 3, RFC 9449 section 7.1).

    :param error: its error code, as it stands there; empty without one.
    :param metadata: the URL of the protected resource's metadata (RFC 9728 section 5.1); empty without one.
    """

    error: str = ""
    metadata: str = ""


def oauth_challenge(header: str | None) -> Challenge | None:
    """Return the first challenge with the scheme Bearer or DPoP, ``None`` if there is none."""
    if not header or len(header) > _LONGEST:
        return None
    for scheme, parameters in _challenges(header):
        if scheme in _SCHEMES:
            return Challenge(parameters.get("error", ""), parameters.get("resource_metadata", ""))
    return None


def _challenges(header: str) -> list[tuple[str, dict[str, str]]]:
    """Return the challenges with their parameters; a word is a parameter if a ``=`` follows it, else a scheme."""
    found: list[tuple[str, dict[str, str]]] = []
    name, awaiting = "", False
    for quoted, word, sign in _TOKENS.findall(header):
        if sign == "=":
            awaiting = bool(name)
        elif awaiting and not sign:
            if found:
                found[-1][1].setdefault(name, quoted or word)
            name, awaiting = "", False
        else:
            if name and not awaiting:
                found.append((name, {}))
            name, awaiting = word.lower(), False
    if name and not awaiting:
        found.append((name, {}))
    return found
