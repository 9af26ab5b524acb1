"""Where the secrets in a text are, by name and by form: queries, forms, JSON, headers, reprs, JWTs, URLs.

Every regular expression here takes linear time: each begins where its class of characters begins, and what follows a
greedy part cannot match within it. The end of a value is found by hand.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import unquote

from otel_oauth._patterns import pattern
from otel_oauth._pieces import PIECE
from otel_oauth._seen import SEEN, Mark, Region
from otel_oauth.redaction._pairs import pairs
from otel_oauth.redaction._policy import Found, Policy, looks_secret

if TYPE_CHECKING:
    from collections.abc import Iterator

_FORMS = (
    ("jwt", pattern(r"(eyJ[A-Za-z0-9_\-]{8,}(?:\.[A-Za-z0-9_\-]*){0,4})")),
    ("password", pattern(r"""://[^\s/@:?#"']{0,256}:([^\s/@?#"']{1,512})@""")),  # in a URL
    ("request_uri", pattern(r"""urn:ietf:params:oauth:request_uri:([^\s&"'<>,;]+)""")),  # RFC 9126
)
_LIKELY = (
    ("authorization", pattern(r"\b(?:bearer|basic|dpop|negotiate)\s{1,4}([A-Za-z0-9\-._~+/]+=*)", re.IGNORECASE)),
    (
        "state",  # as the MCP SDK says it: «State parameter mismatch: … != …»
        pattern(
            r"""\bstate\b[^\n:=]{0,40}\bmismatch[^\n:=]{0,20}:\s?([^\s"',;]{8,512})(?:\s!=\s([^\s"',;]{8,512}))?""",
            re.IGNORECASE,
        ),
    ),
)
"""Secrets only if the values look like one."""

_ESCAPE = pattern(r"%([0-9A-Fa-f]{2})|\\u00([0-9A-Fa-f]{2})|&#x([0-9A-Fa-f]{2});|&(quot|amp|apos|lt|gt|#39|#34|#38);")
_ENTITIES = {"quot": '"', "amp": "&", "apos": "'", "lt": "<", "gt": ">", "#39": "'", "#34": '"', "#38": "&"}
_OPAQUE = pattern(r"[A-Za-z0-9_\-+/=.~]{20,}")
_ID = pattern(  # of a span, of a trace, both in a traceparent, a UUID
    r"[0-9a-f]{16}|[0-9a-f]{32}|00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)
_TOKEN_CHARACTERS = pattern(r"[A-Za-z0-9_\-.~+/=]+")
_MOST_ENCODED = 3
_REPEATED = 8  # so many of the values that were found are looked for in the rest of the text


def regions(text: str, policy: Policy) -> list[Region]:
    """Return the parts of ``text`` to be replaced, in order and apart from each other."""
    found = list(_in_plain(text, policy))
    if "%" in text or "&" in text or "\\u00" in text:
        found.extend(_in_encoded(text, policy))
    return _merged(found)


def _in_plain(text: str, policy: Policy) -> Iterator[Region]:
    readable: list[tuple[int, int]] = []
    repeated: dict[str, Mark] = {}
    for found in (*pairs(text, policy), *_by_form(text, policy)):
        if not found.kind:
            readable.append((found.start, found.end))
            continue
        value = unquote(found.value) if "%" in found.value else found.value
        mark = SEEN.mark(found.kind, value)
        yield Region(found.start, found.end, mark)
        if len(found.value) >= PIECE and looks_secret(found.value):
            repeated.setdefault(found.value, mark)
    for region in (*_repetitions(text, repeated), *SEEN.find(text)):
        around = bisect_right(readable, (region.start, 1 << 62)) - 1
        if around < 0 or region.end > readable[around][1]:
            yield region


def _repetitions(text: str, values: dict[str, Mark]) -> Iterator[Region]:
    """Yield the places where values that were found by a name stand once more, without one."""
    for value, mark in islice(values.items(), _REPEATED):
        yield from (Region(*match.span(), mark) for match in re.finditer(re.escape(value), text))


def _in_encoded(text: str, policy: Policy) -> Iterator[Region]:
    """Look at the text without the escapes of URLs, JSON and HTML, as often as there are any."""
    starts: list[list[tuple[int, int, int]]] = []
    decoded = text
    for _ in range(_MOST_ENCODED):
        decoded, offsets = _unquoted(decoded)
        if not offsets:
            return
        starts.append(offsets)
        for region in _in_plain(decoded, policy):
            first, end = region.start, region.end
            for table in reversed(starts):
                first, end = _original(table, first), _original(table, end - 1, past=True)
            yield Region(first, end, region.mark)


def _unquoted(text: str) -> tuple[str, list[tuple[int, int, int]]]:
    """Decode escapes one by one; return also where each was: the decoded place, the original one, and its length."""
    parts: list[str] = []
    offsets: list[tuple[int, int, int]] = []
    place = done = 0
    for match in _ESCAPE.finditer(text):
        parts.append(text[done : match.start()])
        place += match.start() - done
        done = match.end()
        offsets.append((place, match.start(), done - match.start()))
        entity = match.group(4)
        parts.append(_ENTITIES[entity] if entity else chr(int(match.group(match.lastindex or 1), 16)))
        place += 1
    parts.append(text[done:])
    return "".join(parts), offsets


def _original(offsets: list[tuple[int, int, int]], place: int, *, past: bool = False) -> int:
    """Return where a character of the decoded text begins (with ``past``: ends) in the original one."""
    index = bisect_right(offsets, (place, 1 << 62)) - 1
    if index < 0:
        return place + past
    decoded, original, length = offsets[index]
    if decoded == place:
        return original + (length if past else 0)
    return original + length + (place - decoded - 1) + past


def _merged(found: list[Region]) -> list[Region]:
    found.sort(key=lambda region: (region.start, -region.end))
    merged: list[Region] = []
    for region in found:
        if merged and region.start < merged[-1].end:
            last = merged[-1]
            # The name that a value came with tells more than what the ledger calls it.
            merged[-1] = last._replace(end=max(last.end, region.end))
        else:
            merged.append(region)
    return merged


# By form --------------------------------------------------------------------------------------------------------------


def _by_form(text: str, policy: Policy) -> Iterator[Found]:
    for kind, expression in _FORMS:
        for match in expression.finditer(text):
            yield Found(*match.span(1), kind, match.group(1))
    for kind, expression in _LIKELY:
        for match in expression.finditer(text):
            for number, value in enumerate(match.groups(""), start=1):
                if value and (policy.strict or looks_secret(value)):
                    yield Found(*match.span(number), kind, value)
    for prefix in policy.prefixes:
        yield from _with_prefix(text, prefix)
    if policy.strict:
        yield from _opaque(text)


def _opaque(text: str) -> Iterator[Found]:
    for match in _OPAQUE.finditer(text):
        value = match.group()
        if looks_secret(value) and "/" not in value.strip("/") and not _ID.fullmatch(value):
            yield Found(*match.span(), "opaque", value)


def _with_prefix(text: str, prefix: str) -> Iterator[Found]:
    place = text.find(prefix)
    while place >= 0:
        match = _TOKEN_CHARACTERS.match(text, place + len(prefix))
        end = place + len(prefix)
        if match is not None:
            end = match.end()
            yield Found(place, end, "custom", text[place:end])
        place = text.find(prefix, end)
