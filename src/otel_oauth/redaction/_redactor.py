"""From a text or a nested value to the same without secrets: the quick look first, the thorough one only if needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from otel_oauth._patterns import pattern
from otel_oauth._seen import SEEN, Mark
from otel_oauth.redaction._policy import READABLE, Policy, looks_secret
from otel_oauth.redaction._text import regions

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_oauth.redaction._names import Name

UNINSPECTED = "[redacted:uninspected]"
"""What stands in the place of something that could not be looked at."""

_STEMS = (
    "token", "code", "state", "secret", "auth", "cookie", "session", "pass", "nonce", "verifier", "assertion",
    "key", "saml", "credential", "signature", "ticket", "jwt", "dpop", "pwd", "complete", "eyj",
    "bearer", "basic", "negotiate", "sid=", "sig=", "otp=", "pin=",
)  # fmt: skip
"""Without one of these (in lower case) no name of a secret and no secret by its form is in a text."""

_ALONE = (
    *("eyj", "bearer", "basic", "negotiate", "dpop"),
    *("code ", "token ", "secret ", "password ", "verifier ", "assertion ", "cookie ", "nonce ", "state "),
    *("key ", "session ", "session_id ", "credential ", "signature ", "ticket ", "authorization ", "auth "),
    *("passphrase ", "pwd ", "jwt ", "sid ", "otp "),
)
"""The same for a text without a separator between names and values."""

_SEPARATORS = frozenset("=:%'\">|\t\\&")
"""One of them is between a name and its value, unless that is a sentence; the last two may stand for any, escaped."""

_SHORT = pattern(r"(?:sid|sig|otp|pin)(?![a-z0-9])")
"""The short stems, whatever is between name and value."""

_TO_WORDS = bytes(byte | 32 if chr(byte).isalpha() and byte < 128 else 32 for byte in range(256))  # noqa: PLR2004 ASCII
_WORD_STEMS = tuple(stem.replace("=", " ").encode() for stem in _STEMS)
_ORDINARY = 4096
_LONGEST_WORD = 24
_LONGEST_OF_WORDS = 4096

_TRUSTED = 2048
_RECENT = 64  # few: what is kept of text that comes once costs the caches of the processor more than the look at it
_LONGEST_REMEMBERED = 512
_LONGEST = 1 << 18
_DEEPEST = 16
_MOST_ELEMENTS = 10_000
_NUMBERS = frozenset((int, float, bool, type(None)))
_KEYS = 4096


class _Walk:
    """What the look at one nested value has in common: what it is within, and how many elements it may still see.

    :param cut: a value that holds itself is cut off where it does.
    :ivar cycles: there was one.
    """

    __slots__ = ("cut", "cycles", "left", "path")

    def __init__(self, *, cut: bool = False) -> None:
        self.path: set[int] = set()
        self.left = _MOST_ELEMENTS
        self.cut = cut
        self.cycles = False


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
        self._own = (*own, *prefixes)
        self._stems = (*_STEMS, *self._own)
        self._alone = (*_ALONE, *prefixes)
        self._words: tuple[set[bytes], set[bytes]] = (set(), set())  # those with a stem in them, and those without
        self._plain: set[str] = set()  # names that stand for no secret
        self._readable: set[str] = set()  # those of them whose values stay as they are
        self._clean: dict[str, None] = {}  # watched: valid until a value becomes known that may be in one of them
        self._recent: dict[str, int] = {}  # valid in the generation that it says
        self._older: dict[str, int] = {}  # what was recent before: who is found here comes again
        self._watched = SEEN.watched_generation

    def text(self, text: str, signal: str) -> str:
        """Return ``text`` without secrets: the same object if there are none."""
        if self._watched != SEEN.watched_generation:
            self._distrust()
        if text in self._clean or self._recent.get(text) == SEEN.generation:
            return text
        generation = SEEN.generation
        if self._is_clean(text):
            self._remember(text, generation)
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
        if len(text) <= _LONGEST_OF_WORDS:
            words = text.encode("latin-1", "replace").translate(_TO_WORDS).split()
            ordinary = self._words[1].issuperset(words) or self._are_ordinary(words)
            if ordinary and "@" not in text and not (self._own and self._has_own(text.lower())):
                return False
        return self._has_stem(text)

    def _are_ordinary(self, words: list[bytes]) -> bool:
        """Tell whether no word has a stem in it. Words, of letters alone, come again where whole texts do not."""
        flagged, ordinary = self._words
        if not flagged.isdisjoint(words):
            return False
        if len(ordinary) >= _ORDINARY or len(flagged) >= _ORDINARY:
            self._words = flagged, ordinary = set(), set()
        found = False
        for word in set(words) - ordinary:
            has_stem = any(stem in word + b" " for stem in _WORD_STEMS)
            found = found or has_stem
            if len(word) <= _LONGEST_WORD:
                (flagged if has_stem else ordinary).add(word)
        return not found

    def _has_own(self, lowered: str) -> bool:
        return any(stem in lowered for stem in self._own)

    def _has_stem(self, text: str) -> bool:
        lowered = text.lower()
        if any(separator in text for separator in _SEPARATORS):
            for stem in self._stems:
                if stem in lowered:
                    return True
            return "@" in text or _SHORT.search(lowered) is not None
        for stem in self._alone:  # noqa: SIM110 a generator costs more than the search
            if stem in lowered:
                return True
        return False

    def _rewritten(self, text: str, signal: str) -> str:
        rest, generation = "", SEEN.generation
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
            self._remember(text, generation)
            return text
        if self.dry_run:
            return text + rest
        parts.append(text[done:])
        redacted = "".join(parts) + (UNINSPECTED if rest else "")
        self._remember(redacted, generation)
        return redacted

    def count(self, signal: str, kind: str) -> None:
        """Count a secret that was found; without a signal it was counted before."""
        if signal:
            self._counted(signal, kind)

    # Values and attributes --------------------------------------------------------------------------------------------

    def changes(self, attributes: Mapping[str, Any], signal: str) -> dict[str, Any]:
        """Return those attributes that hold secrets, as they are to be."""
        if self._watched != SEEN.watched_generation:
            self._distrust()
        # Every span and record comes through here, mostly with names and values that came before: no call for those.
        clean, recent, plain, readable = self._clean, self._recent, self._plain, self._readable
        generation = SEEN.generation
        unknown: list[str] = []
        for key, value in attributes.items():
            if key not in plain:
                break
            if type(value) is str:
                known = value in clean or recent.get(value) == generation
                if not known and (key not in readable or READABLE.fullmatch(value) is None):
                    unknown.append(value)
            elif type(value) not in _NUMBERS:
                break
        else:
            if not unknown or self._are_clean(unknown):
                return {}
            return self._changes(attributes, signal, together=False)
        return self._changes(attributes, signal, together=True)

    def _changes(self, attributes: Mapping[str, Any], signal: str, *, together: bool) -> dict[str, Any]:
        changed: dict[str, Any] = {}
        unknown: list[str] = []
        for key, value in attributes.items():
            entry = self._policy.names.get(key)
            if entry is None or entry.readable:
                self._note(key, entry)
            kind = type(value)
            if kind in _NUMBERS or (kind is str and _stays(value, entry)):
                continue
            if kind is str and (entry is None or entry.readable):
                if value not in self._clean:
                    unknown.append(key)
            else:
                after = self._value(value, entry, signal, 0)
                if after is not value:
                    changed[key] = after
        # Several values are looked at as one text, and each only if there is something in that.
        if unknown and not (together and self._are_clean([attributes[key] for key in unknown])):
            for key in unknown:
                after = self.text(attributes[key], signal)
                if after is not attributes[key]:
                    changed[key] = after
        return changed

    def _note(self, key: str, entry: Name | None) -> None:
        if key not in self._plain:
            if len(self._plain) >= _KEYS:
                self._plain, self._readable = set(), set()
            if entry is not None:
                self._readable.add(key)
            self._plain.add(key)

    def _are_clean(self, values: list[str]) -> bool:
        generation = SEEN.generation
        text = values[0]
        if len(values) > 1:
            longest = max(values, key=len)  # often a URL with others in it
            text = "\n".join([longest, *[value for value in values if value not in longest]])
        if not self._is_clean(text):
            return False
        for value in values:
            self._remember(value, generation)
        return True

    def _remember(self, text: str, generation: int) -> None:
        """Keep a text without secrets for a while; one that comes again longer than one that comes once."""
        if len(text) > _LONGEST_REMEMBERED:
            return
        before = self._recent.get(text)
        if before is not None or text in self._older:
            if before != generation:
                self._trust(text, generation)
            return
        if len(self._recent) >= _RECENT:
            self._older, self._recent = self._recent, {}
        self._recent[text] = generation

    def _trust(self, text: str, generation: int) -> None:
        """Keep a text as long as no value becomes known that may be in it."""
        if "%" in text:  # what is watched for is not decoded
            self._recent[text] = generation
            return
        if len(self._clean) >= _TRUSTED:
            self._clean.clear()
        self._clean[text] = None
        if not SEEN.watch(text):
            self._clean.pop(text, None)

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

    def _value(self, value: Any, entry: Name | None, signal: str, depth: int, walk: _Walk | None = None) -> Any:  # noqa: ANN401 as above
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
        return self._other(value, entry, signal, depth, walk)

    def _other(self, value: Any, entry: Name | None, signal: str, depth: int, walk: _Walk | None) -> Any:  # noqa: ANN401 as above
        if not isinstance(value, (Mapping, Sequence, set, frozenset)):
            text = str(value)
            after = self._named(text, entry, signal)
            return value if after is text else after
        if walk is not None:
            return self._container(value, entry, signal, depth, walk)
        walk = _Walk()
        changed = self._container(value, entry, signal, depth, walk)
        if changed is not value and walk.cycles:  # what leads back would lead to the secrets
            return self._container(value, entry, "", depth, _Walk(cut=True))
        return changed

    def _container(self, value: Any, entry: Name | None, signal: str, depth: int, walk: _Walk) -> Any:  # noqa: ANN401 as above
        if id(value) in walk.path:
            walk.cycles = True
            return UNINSPECTED if walk.cut else value
        walk.path.add(id(value))
        try:
            if isinstance(value, Mapping):
                return self._mapping(value, entry, signal, depth, walk)
            return self._items(value, entry, signal, depth, walk)
        finally:
            walk.path.discard(id(value))

    def _exhausted(self, signal: str, walk: _Walk) -> bool:
        """Tell whether a value has more elements than are looked at; the rest of it is left out."""
        walk.left -= 1
        if walk.left == 0:
            self.count(signal, "uninspected")
        return walk.left <= 0

    def _items(self, value: Any, entry: Name | None, signal: str, depth: int, walk: _Walk) -> Any:  # noqa: ANN401 as above
        items: list[Any] = []
        same = True
        # A pair of a name and its value, as HTTP headers are held.
        pair = depth > 0 and entry is None and type(value) is tuple and len(value) == 2  # noqa: PLR2004 see above
        for item in list(value):  # another thread may change it meanwhile
            if self._exhausted(signal, walk):
                return value if self.dry_run else [*items, UNINSPECTED]
            named = self._entry(value[0]) if pair and items else entry
            items.append(self._value(item, named, signal, depth + 1, walk))
            same = same and items[-1] is item
        return value if same else (tuple(items) if isinstance(value, tuple) else items)

    def _mapping(self, value: Mapping[Any, Any], entry: Name | None, signal: str, depth: int, walk: _Walk) -> Any:  # noqa: ANN401 as above
        after: dict[Any, Any] = {}
        same = True
        for key, item in list(value.items()):  # as above
            if self._exhausted(signal, walk):
                return value if self.dry_run else {**after, UNINSPECTED: UNINSPECTED}
            name = self._value(key, None, signal, depth + 1, walk)
            after[name] = self._value(item, self._entry(key) or entry, signal, depth + 1, walk)
            same = same and name is key and after[name] is item
        return value if same else after

    def _entry(self, name: object) -> Name | None:
        """Return what the name of a value says, which servers and HTTP clients hold as text or bytes."""
        if isinstance(name, bytes):
            name = name.decode("latin-1")
        return self._policy.names.get(name) if isinstance(name, str) else None

    def _named(self, value: str, entry: Name | None, signal: str) -> str:
        """Return the value of a name that may stand for a secret."""
        if entry is None or not value or "[redacted:" in value:
            return self.text(value, signal)
        if entry.readable:
            return value if _stays(value, entry) else self.text(value, signal)
        if not entry.certain and not self._policy.strict and not looks_secret(value):
            return self.text(value, signal)
        self.count(signal, entry.kind)
        scheme, _, rest = value.partition(" ")
        mark = SEEN.mark(entry.kind, rest if entry.kind == "authorization" and rest else value)
        written = f"{scheme} {_written(mark)}" if entry.kind == "authorization" and rest else _written(mark)
        return value if self.dry_run else written


def _stays(value: str, entry: Name | None) -> bool:
    """Tell whether a value is one of a name that stands for no secret, and not some text."""
    return entry is not None and entry.readable and READABLE.fullmatch(value) is not None


def _written(mark: Mark) -> str:
    return f"[redacted:{mark.kind}:{mark.digest}]"


def _absent_decoded(text: str) -> bool:
    decoded = unquote(text, "latin-1")
    return SEEN.absent(decoded) and ("%" not in decoded or SEEN.absent(unquote(decoded, "latin-1")))
