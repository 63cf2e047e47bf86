"""The nouns of a comparison: who takes part, what one run gave, what a table shows."""

from dataclasses import dataclass, field

OK = "ok"


@dataclass
class Outcome:
    """Of one run of one contestant: figures, or the word for why there are none."""

    word: str = OK
    figures: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Contestant:
    """A row of a table; `run` takes nothing and gives an Outcome."""

    name: str
    run: object
    is_rival: bool = False


@dataclass(frozen=True)
class Column:
    """A figure; with `ratio`, beside it the ratio to the best rival of the same round."""

    key: str
    title: str
    digits: int = 2
    ratio: bool = False


@dataclass(frozen=True)
class Role:
    """A table."""

    name: str
    title: str
    columns: tuple
    contestants: list
    ratio_title: str = "x best"
