"""From a text or a nested value to the same without secrets: the quick look first, the thorough one only if needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from otel_oauth._seen import SEEN, Mark
from otel_oauth.redaction._policy import Policy, looks_secret
from otel_oauth.redaction._text import regions

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_oauth.redaction._names import Name

UNINSPECTED = "[redacted:uninspected]"
"""What stands in the place of something that could not be looked at."""

_STEMS = (
    "token", "code", "state", "secret", "auth", "cookie", "session", "pass", "nonce", "verifier", "assertion",
    "key", "saml", "credential", "signature", "ticket", "jwt", "dpop", "pwd", "complete", "request_uri:", "eyj",
    "bearer", "basic", "negotiate", "sid=", "sig=", "otp=", "pin=",
)  # fmt: skip
"""Without one of these (in lower case) no name of a secret and no secret by its form is in a text."""

_ALONE = (
    *("eyj", "bearer", "basic", "negotiate", "dpop"),
    *("code ", "token ", "secret ", "password ", "verifier ", "assertion ", "cookie ", "nonce ", "state "),
)
"""The same for a text without a separator between names and values."""

_TRUSTED = 2048
_RECENT = 64  # few: what is kept of text that comes once costs the caches of the processor more than the look at it
_LONGEST_REMEMBERED = 512
_LONGEST = 1 << 18
_DEEPEST = 16
_NUMBERS = frozenset((int, float, bool, type(None)))


class Redactor:
    """Takes secrets out of what leaves the process.

    :param policy: what is looked for.
    :param count: told of each secret found: the signal (``span``, ``log``, ``metric``, ``baggage``) and its kind.
    :param dry_run: only count.
    """

    def __init__(self, policy: Policy, count: Callable[[str, str], None], *, dry_run: bool = False) -> None:
        self._policy = policy
        self._counted = count
        self.dry_run = dry_run
        own = tuple(max(name.lower().replace("-", "_").split("_"), key=len) for name in policy.names.extra)
        prefixes = tuple(prefix.lower() for prefix in policy.prefixes)
        self._stems = (*_STEMS, *own, *prefixes)
        self._alone = (*_ALONE, *prefixes)
        self._clean: dict[str, None] = {}  # watched: valid until a value becomes known that may be in one of them
        self._recent: dict[str, int] = {}  # valid in the generation that it says
        self._watched = SEEN.watched_generation

    def text(self, text: str, signal: str) -> str:
        """Return ``text`` without secrets: the same object if there are none."""
        if self._watched != SEEN.watched_generation:
            self._distrust()
        if text in self._clean or self._recent.get(text) == SEEN.generation:
            return text
        generation = SEEN.generation
        if self._is_clean(text):
            _remember(self._recent, text, generation)
            return text
        return self._rewritten(text, signal)

    def _distrust(self) -> None:
        self._watched = SEEN.watched_generation
        self._clean.clear()

    def _is_clean(self, text: str) -> bool:
        if self._policy.strict or self._suspicious(text) or not SEEN.absent(text):
            return False
        return "%" not in text or _absent_decoded(text)

    def _suspicious(self, text: str) -> bool:
        lowered = text.lower()
        if "=" in text or ":" in text or "%" in text or "'" in text or '"' in text:
            for stem in self._stems:
                if stem in lowered:
                    return True
            return "@" in text
        for stem in self._alone:  # noqa: SIM110 a generator costs more than the search
            if stem in lowered:
                return True
        return False

    def _rewritten(self, text: str, signal: str) -> str:
        rest = ""
        if len(text) > _LONGEST:
            self.count(signal, "uninspected")
            text, rest = text[:_LONGEST], text[_LONGEST:]
        parts, done = [], 0
        for region in regions(text, self._policy):
            self.count(signal, region.mark.kind)
            parts.append(text[done : region.start])
            parts.append(_written(region.mark))
            done = region.end
        if not done and not rest:
            _remember(self._recent, text, SEEN.generation)
            return text
        if self.dry_run:
            return text + rest
        parts.append(text[done:])
        redacted = "".join(parts) + (UNINSPECTED if rest else "")
        _remember(self._recent, redacted, SEEN.generation)
        return redacted

    def count(self, signal: str, kind: str) -> None:
        """Count a secret that was found; without a signal it was counted before."""
        if signal:
            self._counted(signal, kind)

    # Values and attributes --------------------------------------------------------------------------------------------

    def changes(self, attributes: Mapping[str, Any], signal: str) -> dict[str, Any]:
        """Return those attributes that hold secrets, as they are to be."""
        changed: dict[str, Any] = {}
        unknown: list[str] = []
        if self._watched != SEEN.watched_generation:
            self._distrust()
        known, clean = self._policy.names.known, self._clean
        for key, value in attributes.items():
            kind = type(value)
            if kind in _NUMBERS:
                continue
            entry = known[key] if key in known else self._policy.names.get(key)
            if kind is str and entry is None:
                if value not in clean:
                    unknown.append(key)
            elif entry is None or not entry.readable:
                after = self._value(value, entry, signal, 0)
                if after is not value:
                    changed[key] = after
        if unknown:
            self._look_at(attributes, unknown, signal, changed)
        return changed

    def _look_at(self, attributes: Mapping[str, Any], unknown: list[str], signal: str, changed: dict[str, Any]) -> None:
        """Look at several values as one text, and at each only if there is something in that."""
        generation, recent = SEEN.generation, self._recent
        values = [attributes[key] for key in unknown]
        if self._is_clean(values[0] if len(values) == 1 else "\n".join(values)):
            for value in values:
                if value in recent:
                    self._trust(value)
                else:
                    _remember(recent, value, generation)
            return
        for key, value in zip(unknown, values, strict=True):
            after = self.text(value, signal)
            if after is not value:
                changed[key] = after

    def _trust(self, text: str) -> None:
        """Keep a value that comes again and again, as long as no value becomes known that may be in it."""
        if len(self._clean) >= _TRUSTED:
            self._clean.clear()
        self._clean[text] = None
        if not SEEN.watch(text):
            del self._clean[text]

    def kind(self, name: str) -> str | None:
        """Return the kind of secret that a parameter of this name holds, or ``None``."""
        entry = self._policy.names.get(name)
        return None if entry is None else entry.kind or None

    def found(self, attributes: Mapping[str, Any]) -> list[str]:
        """Return the kinds of secrets that these hold, without counting them."""
        kinds: list[str] = []
        probe = Redactor(self._policy, lambda _signal, kind: kinds.append(kind), dry_run=True)
        probe.changes(attributes, "log")
        return kinds

    def value(self, value: Any, signal: str) -> Any:  # noqa: ANN401 a log's body is anything
        """Return a value, however nested, without secrets: the same object if there are none. Nothing is changed."""
        return self._value(value, None, signal, 0)

    def _value(self, value: Any, entry: Name | None, signal: str, depth: int) -> Any:  # noqa: ANN401 as above
        if type(value) in _NUMBERS:
            return value
        if depth > _DEEPEST:
            self.count(signal, "uninspected")
            return value if self.dry_run else UNINSPECTED
        if isinstance(value, str):
            return self._named(value, entry, signal)
        if isinstance(value, (bytes, bytearray)):
            text = bytes(value).decode("latin-1")
            after = self._named(text, entry, signal)
            return value if after is text else after.encode("latin-1", "replace")
        return self._other(value, entry, signal, depth)

    def _other(self, value: Any, entry: Name | None, signal: str, depth: int) -> Any:  # noqa: ANN401 as above
        if isinstance(value, Mapping):
            return self._mapping(value, signal, depth)
        if isinstance(value, (Sequence, set, frozenset)):
            return self._items(value, entry, signal, depth)
        text = str(value)
        after = self._named(text, entry, signal)
        return value if after is text else after

    def _items(self, value: Any, entry: Name | None, signal: str, depth: int) -> Any:  # noqa: ANN401 as above
        items: list[Any] = []
        same = True
        for item in value:
            items.append(self._value(item, entry, signal, depth + 1))
            same = same and items[-1] is item
        return value if same else (tuple(items) if isinstance(value, tuple) else items)

    def _mapping(self, value: Mapping[Any, Any], signal: str, depth: int) -> Any:  # noqa: ANN401 as above
        after: dict[Any, Any] = {}
        same = True
        for key, item in value.items():
            name = self._value(key, None, signal, depth + 1)
            entry = self._policy.names.get(key) if isinstance(key, str) else None
            after[name] = self._value(item, entry, signal, depth + 1)
            same = same and name is key and after[name] is item
        return value if same else after

    def _named(self, value: str, entry: Name | None, signal: str) -> str:
        """Return the value of a name that may stand for a secret."""
        if entry is None or not value or "[redacted:" in value:
            return self.text(value, signal)
        if entry.readable:
            return value
        if not entry.certain and not self._policy.strict and not looks_secret(value):
            return self.text(value, signal)
        self.count(signal, entry.kind)
        scheme, _, rest = value.partition(" ")
        mark = SEEN.mark(entry.kind, rest if entry.kind == "authorization" and rest else value)
        written = f"{scheme} {_written(mark)}" if entry.kind == "authorization" and rest else _written(mark)
        return value if self.dry_run else written


def _written(mark: Mark) -> str:
    return f"[redacted:{mark.kind}:{mark.digest}]"


def _remember(memory: dict[str, int], text: str, generation: int) -> None:
    if len(text) <= _LONGEST_REMEMBERED:
        if len(memory) >= _RECENT:
            memory.clear()
        memory[text] = generation


def _absent_decoded(text: str) -> bool:
    decoded = unquote(text, "latin-1")
    return SEEN.absent(decoded) and ("%" not in decoded or SEEN.absent(unquote(decoded, "latin-1")))
