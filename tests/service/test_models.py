"""Models, their prices and terms over /api/v1, and what a skill's dates look like there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.service.conftest import Service

V1 = "/api/v1"
USAGE = {"input_tokens": 1000, "output_tokens": 100}
USD = [
    {"unit": "input_token", "usd": 0.5, "per": 1_000_000},
    {"unit": "output_token", "usd": "2", "per": 1_000_000},
]


def field_of(answer: httpx.Response) -> str:
    """The first field that a problem names."""
    problem = answer.json()
    field: str = problem["field"] if "field" in problem else problem["errors"][0]["field"]
    return field


async def test_a_charge_is_priced_by_its_model(each_service: Service) -> None:
    admin = each_service.admin
    await each_service.account("alice")
    quoted = await admin.post(f"{V1}/accounts/alice/quotes", json={"model": "gpt-4o", "usage": USAGE})
    assert quoted.status_code == 200, quoted.text
    assert (quoted.json()["credits"], quoted.json()["price_version"]) == (0.35, 1)
    charged = await admin.post(f"{V1}/accounts/alice/charges", json={"model": "gpt-4o", "usage": USAGE})
    assert charged.status_code == 201, charged.text
    receipt = charged.json()
    assert (receipt["amount"], receipt["model"], receipt["skill"]) == (-0.35, "gpt-4o", None)
    assert (receipt["provider_cost_usd"], receipt["destination"]) == ("0.0035", "model:gpt-4o")
    assert receipt["price"]["rule"] == quoted.json()["rule"]
    held = await admin.post(
        f"{V1}/accounts/alice/holds", json={"model": "gpt-4o", "usage": {"input_tokens": 1000, "output_tokens": 4000}}
    )
    assert (held.status_code, held.json()["amount"]) == (201, 4.25)
    capture = f"{V1}/accounts/alice/holds/{held.json()['id']}/capture"
    captured = await admin.post(capture, json={"usage": USAGE})
    assert (captured.status_code, captured.json()["amount"]) == (201, -0.35)
    batch = await admin.post(
        f"{V1}/charges/batch",
        json={"charges": [{"account": "alice", "model": name, "usage": USAGE} for name in ("gpt-4o", "gpt-99")]},
    )
    first, second = batch.json()["results"]
    assert (first["status"], first["amount"]) == (201, -0.35)
    assert (second["status"], second["code"], second["model"]) == (404, "model_not_found", "gpt-99")


async def test_a_models_life(each_service: Service) -> None:
    admin = each_service.admin
    await each_service.account("alice")
    added = await admin.post(f"{V1}/models", json={"name": "gpt-4o"})
    assert added.status_code == 201, added.text
    assert added.json()["price"]["components"][0] == {"unit": "input_token", "usd": 2.5, "per": 1_000_000}
    assert (await admin.post(f"{V1}/models", json={"name": "gpt-4o"})).json()["code"] == "already_exists"
    unknown = await admin.post(f"{V1}/models", json={"name": "gpt-99"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "model_not_found")

    priced = await admin.post(f"{V1}/models/gpt-4o/prices", json={"components": USD, "minimum": 0.02})
    assert priced.status_code == 201, priced.text
    assert (priced.json()["version"], priced.json()["source"]) == (2, "own")
    charge = {"model": "gpt-4o", "usage": USAGE}
    assert (await admin.post(f"{V1}/accounts/alice/charges", json=charge)).json()["amount"] == -0.07

    off = await admin.patch(f"{V1}/models/gpt-4o", json={"active": False})
    assert (off.status_code, off.json()["active"]) == (200, False)
    refused = await admin.post(f"{V1}/accounts/alice/charges", json=charge)
    assert (refused.status_code, refused.json()["code"]) == (403, "model_disabled")
    assert (await admin.patch(f"{V1}/models/gpt-4o", json={"active": True})).json()["active"] is True

    again = await admin.post(f"{V1}/models/gpt-4o/prices", json={"published": True})
    assert (again.status_code, again.json()["version"]) == (201, 3)
    assert again.json()["source"].startswith("genai-prices ")
    versions = (await admin.get(f"{V1}/models/gpt-4o/prices")).json()["data"]
    assert [price["version"] for price in versions] == [3, 2, 1]
    assert (await admin.get(f"{V1}/models/gpt-4o")).json()["price"] == versions[0]
    assert [model["name"] for model in (await admin.get(f"{V1}/models")).json()["data"]] == ["gpt-4o"]


async def test_a_name_with_a_slash_is_percent_encoded(service: Service) -> None:
    admin = service.admin
    path = f"{V1}/models/azure%2Fgpt-4o"
    assert (await admin.patch(path, json={"active": False})).json()["name"] == "azure/gpt-4o"
    assert (await admin.get(path)).json()["active"] is False
    assert (await admin.post(f"{path}/prices", json={"components": USD})).status_code == 201
    assert len((await admin.get(f"{path}/prices")).json()["data"]) == 2
    star = await admin.post(f"{V1}/models/*/prices", json={"components": USD})
    assert star.json()["model"] == "*"


async def test_terms_over_http(each_service: Service) -> None:
    admin = each_service.admin
    assert (await admin.get(f"{V1}/terms")).json() == {"usd_per_credit": "0.01", "model_markup": "1"}
    changed = await admin.patch(f"{V1}/terms", json={"model_markup": 1.2, "usd_per_credit": "0.02"})
    assert changed.json() == {"usd_per_credit": "0.02", "model_markup": "1.2"}
    assert (await admin.get(f"{V1}/terms")).json() == changed.json()
    for body, field in (({"usd_per_credit": 0}, "usd_per_credit"), ({"model_markup": -1}, "model_markup")):
        refused = await admin.patch(f"{V1}/terms", json=body)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
        assert field in refused.text


async def test_a_skills_price_by_dates(each_service: Service) -> None:
    admin = each_service.admin
    soon = datetime.now(UTC) + timedelta(days=1)
    body = {"cost": 9, "valid_from": soon.isoformat(), "valid_to": (soon + timedelta(days=1)).isoformat()}
    made = await admin.post(f"{V1}/skills/TEXT_GENERATION/prices", json=body)
    assert made.status_code == 201, made.text
    assert datetime.fromisoformat(made.json()["valid_from"]) == soon
    assert (await admin.get(f"{V1}/skills/TEXT_GENERATION")).json()["cost"] == 1
    assert len((await admin.get(f"{V1}/skills/TEXT_GENERATION/prices")).json()["data"]) == 2
    for dates, field in (
        ({"valid_from": "2020-01-01T00:00:00Z"}, "valid_from"),
        ({"valid_to": "2020-01-01T00:00:00Z"}, "valid_to"),
        ({"valid_from": "tomorrow"}, "valid_from"),
        ({"valid_from": "2030-01-01"}, "valid_from"),
    ):
        refused = await admin.post(f"{V1}/skills/TEXT_GENERATION/prices", json={"cost": 1} | dates)
        assert (refused.status_code, field_of(refused)) == (422, field)
    assert len((await admin.get(f"{V1}/skills/TEXT_GENERATION/prices")).json()["data"]) == 2


async def test_images_by_size_and_quality(service: Service) -> None:
    admin = service.admin
    await service.account("alice")
    skill = {
        "name": "DRAW",
        "components": [
            {"unit": "image", "credits": 4},
            {"unit": "image", "credits": 8, "quality": "hd"},
            {"unit": "image", "credits": 12, "size": "1024x1792", "quality": "hd"},
        ],
    }
    assert (await admin.post(f"{V1}/skills", json=skill)).status_code == 201
    for variant, cost in (
        ({}, 4),
        ({"image_size": "1024x1792"}, 4),
        ({"image_quality": "hd"}, 8),
        ({"image_quality": "hd", "image_size": "1024x1792"}, 12),
    ):
        usage = {"calls": 0, "images": 1} | variant
        charged = await admin.post(f"{V1}/accounts/alice/charges", json={"skill": "DRAW", "usage": usage})
        assert charged.json()["amount"] == -cost


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("models", {}, "name"),
        ("models", {"name": "a\x00"}, "model"),
        ("models/m/prices", {}, "components"),
        ("models/m/prices", {"components": []}, "components"),
        ("models/m/prices", {"components": [{"unit": "call", "usd": -1}]}, "components[0].usd"),
        ("models/m/prices", {"components": [{"unit": "call"}]}, "components[0]"),
        ("models/m/prices", {"components": [{"unit": "call", "usd": "1_0"}]}, "usd"),
        ("models/m/prices", {"components": [{"unit": f"u{n}", "usd": 1} for n in range(40)]}, "components"),
        ("models/m/prices", {"components": USD, "valid_from": "2020-01-01T00:00:00Z"}, "valid_from"),
        ("models/m/prices", {"components": USD, "markup": 2}, "markup"),
        ("models/m/prices", {"components": USD, "price": 2}, "price"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_name(
    service: Service, path: str, body: dict[str, Any], field: str
) -> None:
    await service.admin.post(f"{V1}/models/m/prices", json={"components": USD})
    refused = await service.admin.post(f"{V1}/{path}", json=body)
    assert refused.status_code == 422, refused.text
    assert field_of(refused).startswith(field)
    assert len((await service.admin.get(f"{V1}/models/m/prices")).json()["data"]) == 1


async def test_who_may(service: Service) -> None:
    await service.account("alice")
    await service.admin.post(f"{V1}/models", json={"name": "gpt-4o"})
    reads = [f"{V1}/models", f"{V1}/models/gpt-4o", f"{V1}/models/gpt-4o/prices", f"{V1}/terms"]
    changes = [
        ("POST", f"{V1}/models", {"name": "o3"}),
        ("POST", f"{V1}/models/gpt-4o/prices", {"components": USD}),
        ("PATCH", f"{V1}/models/gpt-4o", {"active": False}),
        ("PATCH", f"{V1}/terms", {"model_markup": 2}),
    ]
    worker, owner, nobody = await service.key("service"), await service.key("account", "alice"), await service.client()
    for path in reads:
        assert (await worker.get(path)).status_code == 200
        assert (await owner.get(path)).status_code == 403
        assert (await nobody.get(path)).status_code == 401
    for method, path, body in changes:
        assert [(await who.request(method, path, json=body)).status_code for who in (worker, owner, nobody)] == [
            403,
            403,
            401,
        ]
    assert [model["name"] for model in (await service.admin.get(f"{V1}/models")).json()["data"]] == ["gpt-4o"]
