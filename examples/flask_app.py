"""A Flask app that charges one credit for each answer that succeeds.

    python examples/flask_app.py

    curl http://127.0.0.1:8000/hello -H 'X-User: alice'     one credit
    curl http://127.0.0.1:8000/nobody -H 'X-User: alice'    404, and free
    curl http://127.0.0.1:8000/health                       free for everybody

`BURSAR_URL` says where the ledger is: a database, or a service (`https://...`, with its key in BURSAR_API_KEY).
"""

from __future__ import annotations

import os

from flask import Flask
from waitress import serve

from bursar import Credits
from bursar.integrations.meter import meter
from bursar.integrations.prices import Request
from bursar.integrations.refusals import api_calls
from bursar.integrations.wsgi import CreditsMiddleware

credits = Credits.open(os.environ.get("BURSAR_URL", "sqlite:///bursar.db"))
app = Flask(__name__)


@app.get("/hello")
def hello() -> dict[str, str]:
    return {"hello": "world"}


@app.post("/text/<int:words>")
def text(words: int) -> dict[str, str]:
    """Up to five credits are held; what it really took is charged."""
    meter().cost(min(words, 5))
    return {"text": "word " * words}


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "ok"}


def payer(request: Request) -> str | None:
    """Who is asking. A stand-in for your sign-in: never trust such a header from outside."""
    return request.headers.get("x-user")


app.wsgi_app = CreditsMiddleware(
    app.wsgi_app,
    credits,
    account=payer,
    price=1,
    routes={"POST /text/{words}": 5},
    exclude=["/health"],
    refuse=api_calls,
)


if __name__ == "__main__":
    serve(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
