"""`bursar models ...`: what calls of a provider's model cost."""

from __future__ import annotations

from typing import Annotated

import typer

from bursar.cli.options import Rounding, ValidFrom, ValidTo, components_of, time_of
from bursar.cli.session import Session, command

app = typer.Typer(help="What calls of a provider's model cost.", no_args_is_help=True)

Name = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="The model as calls name it, such as gpt-4o; * for all others.", show_default=False
    ),
]


@command(app, "list")
def list_models(session: Session) -> None:
    """Every model that was named or priced, disabled ones too."""
    with session.ledger() as ledger:
        models = ledger.models.list()
    lines = [
        {
            "name": model.name,
            "active": model.active,
            "price": model.price.rule,
            "source": model.price.source,
            "version": model.price.version,
        }
        for model in models
    ]
    session.show_all(models if session.json else lines, ("name", "active", "price", "source", "version"))


@command(app, "add")
def add(session: Session, model: Name) -> None:
    """A new model at its published price; a call that names it does the same."""
    with session.ledger() as ledger:
        session.show(ledger.models.add(model))


@command(app, "price")
def price(
    session: Session,
    model: Name,
    *,
    usd: Annotated[
        list[str] | None,
        typer.Option(
            "--usd",
            metavar="UNIT=USD/PER",
            help="What the provider takes: input_token=2.5/1000000; input_token=5/1000000@200000 where the prompt is"
            " longer than that; again for more.",
        ),
    ] = None,
    component: Annotated[
        list[str] | None,
        typer.Option(
            "--component", metavar="UNIT=CREDITS/PER", help="A price in credits instead: output_token=2/1000."
        ),
    ] = None,
    rounding: Rounding = "1e-9",
    minimum: Annotated[str, typer.Option(help="The least that a call costs, in credits.")] = "0",
    markup: Annotated[str, typer.Option(help="A factor on a price in credits.")] = "1",
    valid_from: ValidFrom = None,
    valid_to: ValidTo = None,
) -> None:
    """A price of your own, which holds for the very next call or from a time on; without one, every version."""
    with session.ledger() as ledger:
        if not usd and not component:
            session.show_all(ledger.models.prices(model), ("version", "rule", "source", "valid_from", "valid_to"))
            return
        answer = ledger.models.set_price(
            model,
            [*(components_of(usd, "--usd", "usd") or ()), *(components_of(component) or ())],
            rounding=rounding,
            minimum=minimum,
            markup=markup,
            valid_from=time_of("--valid-from", valid_from),
            valid_to=time_of("--valid-to", valid_to),
        )
    session.show(answer)


@command(app, "refresh")
def refresh(
    session: Session,
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="Without one: all that were not priced by hand.", show_default=False),
    ] = None,
) -> None:
    """What is published now, after an upgrade of genai-prices, or instead of a price of your own."""
    from bursar.core.errors import Invalid, ModelNotFound

    refreshed = []
    with session.ledger() as ledger:
        names = [model] if model else [known.name for known in ledger.models.list() if known.price.source != "own"]
        for name in names:
            try:
                refreshed.append(ledger.models.refresh(name))
            except (ModelNotFound, Invalid) as refusal:
                if model is not None:
                    raise
                session.say(f"{name} stays as it is: {refusal}")
    lines = [{"name": known.name, "price": known.price.rule, "version": known.price.version} for known in refreshed]
    session.show_all(refreshed if session.json else lines, ("name", "price", "version"))


@command(app, "enable")
def enable(session: Session, model: Name) -> None:
    """Allow it again."""
    with session.ledger() as ledger:
        session.show(ledger.models.enable(model))


@command(app, "disable")
def disable(session: Session, model: Name) -> None:
    """Refuse the very next call; what is in flight may settle."""
    with session.ledger() as ledger:
        session.show(ledger.models.disable(model))


@command(app, "terms")
def terms(
    session: Session,
    *,
    usd_per_credit: Annotated[str | None, typer.Option(metavar="USD", help="What a credit is worth.")] = None,
    markup: Annotated[str | None, typer.Option(help="The factor on what providers take.")] = None,
) -> None:
    """How prices in US dollars become credits; a change holds for the very next call."""
    with session.ledger() as ledger:
        if usd_per_credit is None and markup is None:
            session.show(ledger.models.terms())
        else:
            session.show(ledger.models.set_terms(usd_per_credit=usd_per_credit, model_markup=markup))
