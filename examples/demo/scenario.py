"""What a scenario is: a preparation, then the act whose effect is to be seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from demo.seeds import Client
from demo.visitors import Browser, Program, ScenarioError, expect

Kind = Literal["everyday", "failure", "benign", "attack"]
Play = Callable[["World"], Iterator[float]]
"""A function that yields once, between preparation and act: the seconds that must pass there at least."""

AT_ONCE = 0.0
MARGIN = 0.2
"""Seconds beyond a limit after which it is surely over."""

NO_CONTENT = 204
STRANGER = Client("stranger", "a-guess", (), "")
"""A client that the server does not know."""


class NobodyThereError(ScenarioError):
    """An earlier scenario left fewer people than this one needs."""

    def __init__(self, got: int, wanted: int) -> None:
        super().__init__(f"{got} people are logged in instead of {wanted}")


@dataclass
class World:
    """The two programs under way, how long a race may last, and what one scenario leaves to the next."""

    server: str
    application: str
    race_window: float = 1.0
    people: list[Browser] = field(default_factory=list)

    def browser(self, person: str = "ada") -> Browser:
        """Return a new browser."""
        return Browser(self.application, person)

    def visitor(self, person: str = "ada", provider: str = "demo") -> Browser:
        """Return a new browser that has logged in."""
        browser = self.browser(person)
        browser.log_in(provider)
        return browser

    def take(self, number: int) -> list[Browser]:
        """Return ``number`` of the people who are logged in; others the next time."""
        if len(self.people) < number:
            raise NobodyThereError(len(self.people), number)
        taken, rest = self.people[:number], self.people[number:]
        self.people = rest + taken
        return taken

    def program(self, client: Client) -> Program:
        """Return a program that acts as ``client``."""
        return Program(self.server, client)

    def order_fault(self, kind: str) -> None:
        """Let the server fail at its next token request: see its ``/fault``."""
        expect(self.program(STRANGER).post(f"/fault?kind={kind}"), NO_CONTENT)


@dataclass(frozen=True)
class Scenario:
    """A scenario: a function with a name and a line that describes it.

    An ``early`` one is prepared before the first act of all: nobody waits for its time to pass, and what its
    preparation moves does not have to be told from what its act moves.
    ``twin`` names the benign scenario from which an attack differs in one thing.
    """

    name: str
    kind: Kind
    description: str
    play: Play
    early: bool
    twin: str


def scenario(kind: Kind, *, early: bool = False, twin: str = "") -> Callable[[Play], Scenario]:
    """Make a function a scenario, named as the function and described by the first line of its docstring."""

    def make(play: Play) -> Scenario:
        description = (play.__doc__ or "").partition("\n")[0]
        return Scenario(play.__name__, kind, description, play, early, twin)

    return make
