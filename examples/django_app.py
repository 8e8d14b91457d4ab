"""A Django project in one file, whose pictures cost credits and whose other pages do not.

    python examples/django_app.py

    curl -X POST http://127.0.0.1:8000/picture/ -H 'X-User: alice'    the price of the skill IMAGE_GENERATION
    curl http://127.0.0.1:8000/credits/ -H 'X-User: alice'            free

`BURSAR_URL` says where the ledger is: a database, or a service (`https://...`, with its key in BURSAR_API_KEY). In a
project of more files the middleware stands in `wsgi.py`, around `get_wsgi_application()`; an ASGI project takes
`bursar.integrations.asgi` and `AsyncCredits`.
"""

from __future__ import annotations

import os

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from waitress import serve

from bursar import AccountNotFound, Credits
from bursar.integrations.meter import meter
from bursar.integrations.prices import Request
from bursar.integrations.wsgi import CreditsMiddleware

settings.configure(ROOT_URLCONF=__name__, SECRET_KEY="an example", ALLOWED_HOSTS=["127.0.0.1"])  # noqa: S106 - as it says
django.setup()

credits = Credits.open(os.environ.get("BURSAR_URL", "sqlite:///bursar.db"))


@csrf_exempt
@require_POST
def picture(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"picture": f"/pictures/{request.headers['x-user']}/1", "cost": meter().amount})


def balance(request: HttpRequest) -> JsonResponse:
    try:
        return JsonResponse({"credits": credits.balance(request.headers["x-user"]).available})
    except (KeyError, AccountNotFound):
        return JsonResponse({"credits": 0})


urlpatterns = [path("picture/", picture), path("credits/", balance)]


def payer(request: Request) -> str | None:
    """Who is asking. A stand-in for your sign-in: never trust such a header from outside."""
    return request.headers.get("x-user")


application = CreditsMiddleware(get_wsgi_application(), credits, account=payer, routes={"/picture": "IMAGE_GENERATION"})


if __name__ == "__main__":
    serve(application, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
