"""A Celery task that costs credits: held while it runs, charged when it succeeds, once however often it is delivered.

    cd examples
    celery --app celery_task worker --pool solo      in one terminal
    python celery_task.py alice                      in another

`BURSAR_URL` says where the ledger is: a database, or a service (`https://...`, with its key in BURSAR_API_KEY). The
broker here is a folder, so that nothing has to be installed for it; `CELERY_BROKER` names another.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path

from celery import Celery, current_task

from bursar import Credits, InsufficientCredits
from bursar.integrations.metered import metered

FOLDER = Path(os.environ.get("CELERY_FOLDER", "celery-folder")).resolve()
MESSAGES, RESULTS = FOLDER / "messages", FOLDER / "results"
for folder in (MESSAGES, RESULTS):
    folder.mkdir(parents=True, exist_ok=True)

app = Celery("pictures", broker=os.environ.get("CELERY_BROKER", "filesystem://"), backend=f"file://{RESULTS}")
app.conf.update(
    broker_transport_options={
        "data_folder_in": str(MESSAGES),
        "data_folder_out": str(MESSAGES),
        "control_folder": str(FOLDER / "control"),
    },
    task_acks_late=True,  # a task whose worker died is delivered again
)


@cache
def ledger() -> Credits:
    """Opened by each worker when its first task needs it."""
    return Credits.open(os.environ.get("BURSAR_URL", "sqlite:///bursar.db"))


def delivery(*_: str) -> str:
    """One key for each attempt at a task: delivered again it is not charged again, retried it may be."""
    request = current_task.request
    return f"celery:{request.id}:{request.retries}"


@metered("IMAGE_GENERATION", credits=ledger, account="user", idempotency_key=delivery)
def paint(user: str, prompt: str) -> str:
    """Stand in for a call to a model."""
    if not prompt:
        raise ValueError(f"{user} wants nothing")
    return f"a picture of {prompt}"


@app.task(name="draw")
def draw(user: str, prompt: str) -> dict[str, str]:
    """Too little is an answer; whatever breaks is Celery's to report or to try again."""
    try:
        return {"picture": paint(user, prompt)}
    except InsufficientCredits as refusal:
        return {"error": str(refusal)}


def main(user: str) -> None:
    print(draw.delay(user, "the sea").get(timeout=60))
    try:
        draw.delay(user, "").get(timeout=60)
    except ValueError as error:
        print(f"failed, and free: {error}")
    with ledger() as credits:
        print(f"{credits.balance(user).available} credits left")
        credits.adjust(user, to=4, reason="an example of too little")
        print(draw.delay(user, "the sky").get(timeout=60))


if __name__ == "__main__":
    main(sys.argv[1])
