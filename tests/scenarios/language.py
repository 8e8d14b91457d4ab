"""The language of scenario files: one line, one step, with what must come of it.

    # A comment says the rule.
    plan     free 100 [period=month] [anchor=calendar] [renewal=reset] [cap=50] [priority=10] [timezone=UTC] [days=30]
             [after=free] [trial=yes] [prorated=yes]              of one line
    skill    TEXT 1 [from=2026-02-01] [to=2026-03-01]          a new skill, or a new price of one
    model    gpt-x input=2.5 output=10 [cached=] [written=]    a model's price: dollars per million, a cent a credit
    disable  TEXT    /    enable TEXT    /    disable gpt-x
    at       2026-01-01T12:30   /   at +15m                    s m h d
    open     alice [plan=free] [timezone=UTC] [overage=debt]      -> ok
    grant    G1 alice 100 [priority=1] [starts=...] [expires=...] -> ok      G1:100
    charge   C1 alice 10   /   charge C1 alice TEXT [quantity=3]  -> ok      G1:10
    charge   C1 alice gpt-x input=1000 output=20                  -> ok      G1:0.27
    hold     H1 alice 120 [at_least=1] [ttl=15m] [overage=] [on_expiry=] -> ok G1:100 G2:20
    dispatch H1 [measured=5]
    extend   H1 [amount=5] [ttl=15m] [measured=5]
    capture  H1 [70] [as=C2]   /   capture H1 output=20           -> ok      G1:70
    release  H1
    refund   R1 C1 [5]                                            -> ok      G1:5
    void     G1 / adjust A1 alice to=5 / adjust A1 alice by=-5 / transfer X1 alice bob 30
    subscribe alice pro [days=30] [when=period_end]              -> ok      pro@2026-01-01:60
    cancel   alice [when=now]                                     -> ok      at the end of the period, if not now
    run      R1 alice 10 [ttl=15m] [in=R0] [member=]              -> ok      G1:10
    finish   R1                                                   ends it; `run=R1` puts a hold or a charge into it
    limit    L1 alice 20 [window=day] [scope=account] [value=] [timezone=UTC]   set, or changed; of any amount
    unlimit  L1 alice
    member   alice bob   /   unmember alice bob                   who may spend
    counted  L1 alice  spent=12 held=4 left=4 starts=2026-01-01 resets=2026-01-02
    members  alice  bob:added eve:removed
    freeze   alice  (unfreeze, close, renew, touch, update)
    balance  alice  posted=80 held=0 available=80 debt=0 plan=pro ends_at=2026-02-01
    lots     alice  G1:30 G2:20                           what is live, in burn-down order; `G1:30/10`: 10 of it held
    state    H1     state=captured amount=120 captured=70
    ends     G1     2026-02-01                            when a lot expires, or `never`
    paid     G1     9.99 USD                              what was paid for it, or `nothing`
    basis    alice  4.99:USD                              what was paid for all that is left
    history  alice  PLAN:100 CONSUMPTION:-10              all of it, oldest first
    last     alice  type=EXPIRY amount=-90 effective=2026-02-01   the newest transaction
    called   C1 alice   /   called G1 alice lot           names the newest transaction, or the lot it made

A charge or hold takes `member=`, `model=`, `actor=key:K1`; a refusal by a limit may say which: `-> limit_exceeded L1
left=4 resets=2026-01-02`.

`-> ok`, `-> replay`, or the code of the rejection. After it, in their order, what the lots gave (a hold, a charge, an
expiry) or got (a grant, a refund); `debt` stands for the part that no lot gave. Any command takes `key=`. A name
stands for what the command made: G1 is a lot, H1 a hold, C1 a transaction; a lot that a refund or transfer makes is
R1.0, X1.1; a plan's lot is free@2026-02-01.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct, field

FOLDER = Path(__file__).parent


class Step(Struct, frozen=True):
    """One line."""

    number: int
    text: str
    verb: str
    words: tuple[str, ...]
    options: dict[str, str] = field(default_factory=dict)
    expected: str | None = None
    """`ok`, `replay` or the code of a rejection; None where the line only looks."""
    moved: tuple[str, ...] = ()


class Scenario(Struct, frozen=True):
    """One story of a file: from its title, a comment that stands alone, to the next."""

    file: str
    title: str
    steps: tuple[Step, ...]

    @property
    def id(self) -> str:
        return f"{self.file}: {self.title}"


def load_all() -> list[Scenario]:
    """Every scenario of every file, in order."""
    return [scenario for path in sorted(FOLDER.glob("*.txt")) for scenario in parse(path.stem, path.read_text("utf-8"))]


def parse(file: str, text: str) -> Iterator[Scenario]:
    """The scenarios of a file. One begins where a comment follows an empty line, or the file begins."""
    titles: list[str] = []
    steps: list[Step] = []
    after_gap = True
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            after_gap = True
            continue
        if line.startswith("#"):
            if after_gap and steps:
                yield Scenario(file, " ".join(titles), tuple(steps))
                titles, steps = [], []
            if not steps:
                titles.append(line.removeprefix("#").strip())
        else:
            steps.append(parse_step(number, line))
        after_gap = False
    if steps:
        yield Scenario(file, " ".join(titles), tuple(steps))


def parse_step(number: int, line: str) -> Step:
    asked, arrow, result = line.partition("->")
    verb, *rest = shlex.split(asked)
    words = tuple(word for word in rest if "=" not in word)
    options = dict(word.split("=", 1) for word in rest if "=" in word)
    expected, *moved = result.split() or [""]
    return Step(number, " ".join(line.split()), verb, words, options, expected if arrow else None, tuple(moved))
