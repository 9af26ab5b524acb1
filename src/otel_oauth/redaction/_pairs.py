"""Secrets by their names: where the value of a name begins and ends, in queries, forms, JSON, headers and reprs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from otel_oauth._patterns import pattern
from otel_oauth.redaction._policy import ENOUGH, LETTER, READABLE, WITHOUT_MIXTURE, Found, Policy, looks_secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_oauth.redaction._names import Name

_PAIR = pattern(
    r"""(?<![\w.\-])([A-Za-z0-9_.\-]+)
        (?:(?:\\*["'])?\]?(?:\[[0-9]{0,4}\])?\s{0,4}(?:=>?|:(?!//))\s{0,4}  # name=value, "name": value, name[]=value
        |\\*["']\s{0,2},\s{0,4}(?=b?\\*["'])                 # ('name', 'value'), (b'name', b'value')
        |>(?=[^\s<])                                         # <name>value</name>
        |(?:[ ]|[ ]?[|\t][ ]?)(?:(?:is|was)[ ])?["'<(]?(?=[A-Za-z0-9_\-]))  # name value, as in a sentence or a table
    """,
    re.ASCII | re.VERBOSE,
)
_UNQUOTED = pattern(r"""[^\s&"'<>,;(){}\[\]|\\]+""")
_LINE = pattern(r"""[^\r\n"']*""")
_SCHEME_WORD = pattern(r"(?:bearer|basic|dpop|digest|oauth|negotiate|token)\s{1,4}", re.IGNORECASE)
_INPUT_VALUE = pattern(r"""\bvalue=\\*["']?""")
_PART = pattern(r"""\\*["']?(?:(?:\r?\n|(?:\\r)?\\n)Content-[^\r\n\\]{1,200})?(?:(?:\r?\n){2}|(?:(?:\\r)?\\n){2})""")
_BESIDE = frozenset(" \t|")  # between a name and its value in a sentence or a table
_NOTHING = frozenset(("none", "null", "true", "false", "undefined", "...", "***", "****", "missing", "string"))
_ESCAPED_SPACE = frozenset("nrtfv")
_HEADERS = frozenset(("authorization", "cookie"))


def pairs(text: str, policy: Policy) -> Iterator[Found]:
    """Yield the values of names that stand for secrets, and, without a kind, those that stay readable."""
    done = 0
    for match in _PAIR.finditer(text):
        if match.start() < done or text.endswith("redacted:", 0, match.start()):
            continue
        name = match.group(1)
        entry = policy.names.get(name)
        if entry is None and match.start() and text[match.start() - 1] == "\\" and name[0] in _ESCAPED_SPACE:
            entry = policy.names.get(name[1:])  # "\ncode=…": the escape is no part of the name
        place = match.end()
        if entry is None and name == "name":
            entry, place = _of_input(text, place, policy)  # <input name="code" value="…">, a part of a multipart form
        if entry is None:
            continue
        after = text[match.end(1)]
        if after == ">" and not (entry.certain and text.endswith("<", 0, match.start())):
            continue
        start, end = _value(text, place, entry)
        value = text[start:end]
        # Under a readable name there is a value of its own, or text: what is in that is looked at.
        text_instead = entry.readable and READABLE.fullmatch(value) is None
        if text_instead or (entry.kind and after in _BESIDE and not _stands_out(value, match)):
            continue
        if entry.readable or _is_secret(value, entry, policy, in_form=_in_form(text, match, end)):
            if not entry.certain:
                end = _rest(text, start, end)
            yield Found(start, end, entry.kind, text[start:end])
            done = end


def _is_secret(value: str, entry: Name, policy: Policy, *, in_form: bool) -> bool:
    if not value or value.startswith("[redacted:") or value.lower() in _NOTHING:
        return False
    return entry.certain or in_form or policy.strict or looks_secret(value)


def _stands_out(value: str, match: re.Match[str]) -> bool:
    """Tell whether the word after a name is its value, and not the next word of the sentence."""
    separator = match.group()[len(match.group(1)) :]
    if "=" in separator or ":" in separator:
        return True
    if len(value) < WITHOUT_MIXTURE or LETTER.search(value) is None or "=" in value.rstrip("="):
        return False
    return looks_secret(value)


def _in_form(text: str, match: re.Match[str], end: int) -> bool:
    """Tell whether a pair stands in a query or a form, where each parameter is what its name says."""
    if "=" not in match.group():
        return False
    before = text[match.start() - 1] if match.start() else ""
    return before in ("?", "&", "#") or text.startswith("&", end) or (not before and end == len(text))


def _rest(text: str, start: int, end: int) -> int:
    """Return the end of a value of which no more than enough was looked at."""
    more = _UNQUOTED.match(text, end) if end - start >= ENOUGH else None
    return end if more is None else more.end()


def _of_input(text: str, place: int, policy: Policy) -> tuple[Name | None, int]:
    name = _UNQUOTED.match(text, _opened(text, place)[0])
    entry = None if name is None else policy.names.get(name.group())
    if name is None or entry is None:
        return None, place
    part = _PART.match(text, name.end())
    if part is not None:
        return entry._replace(certain=True), part.end()
    tag_end = text.find(">", name.end(), name.end() + 200)
    value = _INPUT_VALUE.search(text, name.end(), tag_end if tag_end >= 0 else name.end() + 200)
    return (None, place) if value is None else (entry._replace(certain=True), value.end() - 1)


def _opened(text: str, place: int) -> tuple[int, str, int]:
    """Return where a value begins, its quote if it has one, and how many backslashes escape that."""
    start = place
    if text[start : start + 1] in ("b", "u") and text[start + 1 : start + 2] in ("'", '"', "\\"):
        start += 1
    slashes = 0
    while text.startswith("\\", start + slashes):
        slashes += 1
    quote = text[start + slashes : start + slashes + 1]
    if quote in ("'", '"') and quote:
        return start + slashes + 1, quote, slashes
    return place, "", 0


def _value(text: str, place: int, entry: Name) -> tuple[int, int]:
    """Return where the value at ``place`` is; of a name that only may stand for a secret no more than is needed."""
    start, quote, slashes = _opened(text, place)
    if entry.kind in _HEADERS:
        scheme = _SCHEME_WORD.match(text, start)
        start = start if scheme is None else scheme.end()
        if not quote:
            return _header(text, start, entry, scheme is not None)
    if text.startswith("[redacted:", start):
        return start, start
    most = len(text) if entry.certain else min(len(text), start + ENOUGH)
    if quote:
        return start, _closed(text, start, quote, slashes, most)
    opening = text[start : start + 1]
    if opening in ("[", "(") and opening:
        return _in_list(text, start, "]" if opening == "[" else ")", entry, most)
    match = _UNQUOTED.match(text, start, most)
    end = start if match is None else match.end()
    if end > start and entry.certain and text.startswith("(", end):
        close = text.find(")", end)
        end = len(text) if close < 0 else close + 1
    return start, end


def _closed(text: str, start: int, quote: str, slashes: int, most: int) -> int:
    """Return where a quoted value ends: before its closing quote, which has as many backslashes as the opening one."""
    place = text.find(quote, start, most)
    while place >= 0:
        before = place
        while before > start and text[before - 1] == "\\":
            before -= 1
        escapes = place - before
        if escapes == slashes or (slashes == 0 and escapes % 2 == 0):
            return before if slashes else place
        place = text.find(quote, place + 1, most)
    return most


def _in_list(text: str, start: int, closing: str, entry: Name, most: int) -> tuple[int, int]:
    """Return the one element of a list, or all that is between its brackets."""
    end = text.find(closing, start, most)
    end = most if end < 0 else end
    if text.startswith("[redacted:", start + 1):
        return start + 1, start + 1
    if text[start + 1 : start + 2] in ("'", '"', "b", "\\") and "," not in text[start:end]:
        return _value(text, start + 1, entry)
    return start + 1, end


def _header(text: str, start: int, entry: Name, scheme: bool) -> tuple[int, int]:  # noqa: FBT001 private
    if text.startswith("[redacted:", start):
        return start, start
    word = _UNQUOTED.match(text, start)
    if scheme or (word is not None and entry.kind == "cookie" and "=" in word.group()):
        line = _LINE.match(text, start)
        return start, start if line is None else line.end()
    return start, start if word is None or not looks_secret(word.group()) else word.end()
