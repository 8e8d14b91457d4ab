"""`bursar skills ...`: what an app sells, and for how much."""

from __future__ import annotations

from typing import Annotated

import typer

from bursar.cli.options import (
    Components,
    Description,
    Rounding,
    ValidFrom,
    ValidTo,
    components_of,
    time_of,
)
from bursar.cli.session import Session, command

app = typer.Typer(help="What an app sells, and for how much.", no_args_is_help=True)

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The skill's name, such as TEXT_GENERATION.", show_default=False)
]
Cost = Annotated[str | None, typer.Argument(metavar="COST", help="Credits a call costs.", show_default=False)]
Minimum = Annotated[str, typer.Option(help="The least that a call costs.")]
Markup = Annotated[str, typer.Option(help="A factor on the sum of the components.")]


@command(app, "list")
def list_skills(session: Session) -> None:
    """Every skill, disabled ones too."""
    with session.ledger() as ledger:
        skills = ledger.skills.list()
    lines = [
        {"name": skill.name, "active": skill.active, "price": skill.price.rule, "version": skill.price.version}
        for skill in skills
    ]
    session.show_all(skills if session.json else lines, ("name", "active", "price", "version"))


@command(app, "add")
def add(
    session: Session,
    name: Name,
    cost: Cost = None,
    *,
    component: Components = None,
    rounding: Rounding = "1e-9",
    minimum: Minimum = "0",
    markup: Markup = "1",
    display_name: Annotated[str | None, typer.Option(help="As people see it.")] = None,
    description: Description = None,
) -> None:
    """A new skill with its first price."""
    with session.ledger(create=True) as ledger:
        answer = ledger.skills.add(
            name,
            cost,
            components=components_of(component),
            rounding=rounding,
            minimum=minimum,
            markup=markup,
            display_name=display_name,
            description=description,
        )
    session.show(answer)


@command(app, "price")
def price(
    session: Session,
    name: Name,
    cost: Cost = None,
    *,
    component: Components = None,
    rounding: Rounding = "1e-9",
    minimum: Minimum = "0",
    markup: Markup = "1",
    valid_from: ValidFrom = None,
    valid_to: ValidTo = None,
) -> None:
    """A new price, which holds for the very next charge or from a time on; without one, every version there is."""
    with session.ledger() as ledger:
        if cost is None and not component:
            prices = ledger.skills.prices(name)
            session.show_all(prices, ("version", "rule", "valid_from", "valid_to"))
            return
        answer = ledger.skills.set_price(
            name,
            cost,
            components=components_of(component),
            rounding=rounding,
            minimum=minimum,
            markup=markup,
            valid_from=time_of("--valid-from", valid_from),
            valid_to=time_of("--valid-to", valid_to),
        )
    session.show(answer)


@command(app, "enable")
def enable(session: Session, name: Name) -> None:
    """Sell it again."""
    with session.ledger() as ledger:
        session.show(ledger.skills.enable(name))


@command(app, "disable")
def disable(session: Session, name: Name) -> None:
    """Refuse the very next charge and hold; what is in flight may settle."""
    with session.ledger() as ledger:
        session.show(ledger.skills.disable(name))
