"""The label value of a client beside the id that it stands for."""

from __future__ import annotations


class ClientLabel(str):
    """The label value of a client that knows the whole id, for events; everywhere else it is what it is as text."""

    __slots__ = ("full",)
    full: str

    @classmethod
    def of(cls, label: str, client_id: str) -> ClientLabel:
        """Return ``label`` with the id that it stands for."""
        made = cls(label)
        made.full = client_id
        return made
