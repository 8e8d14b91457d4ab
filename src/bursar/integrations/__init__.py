"""Bursar inside an app: its routes and functions cost credits, and it leaves its framework for none of it.

    asgi.CreditsMiddleware    Starlette, FastAPI, Django, any ASGI app
    wsgi.CreditsMiddleware    Flask, Django, any WSGI app
    fastapi.spends            a dependency of one route
    metered.metered           a decorator of one function

One way for all of them: what it costs (`prices`) is held before the work begins; where there is less, it is refused
(`refusals`) and the work does not begin; how it ended decides what the hold comes to (`spend`, `gate`). Work that
knows its real cost says so to its `meter.meter()`.
"""
