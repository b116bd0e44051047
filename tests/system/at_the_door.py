"""Somebody who has read what `obsync up` prints, and signs in with it."""

from __future__ import annotations

import re
from typing import Any

import httpx

from tests.system.product import Product

_ADDRESS = re.compile(r"^API +(http://\S+?)/openapi", re.MULTILINE)
_PASSWORD = re.compile(r"^demo logins, all with the password (\S+)", re.MULTILINE)
_LOGIN = re.compile(r"^  (\S+) +(student|teacher|college_secretary|admin|platform_admin)\b", re.MULTILINE)
ROLES = {"student", "teacher", "college_secretary", "admin", "platform_admin"}


def printed(product: Product) -> tuple[str, dict[str, str], str]:
    """The address of the API, the login of each role, and the password."""
    address = product.until(lambda: _ADDRESS.search(product.said()), 60, "the address of the API")
    password = _PASSWORD.search(product.said())
    assert password is not None, product.said()
    return address[1], {role: name for name, role in _LOGIN.findall(product.said())}, password[1]


def sign_in(client: httpx.Client, name: str, password: str) -> dict[str, str]:
    """The headers of somebody who has signed in."""
    answer = client.post("/api/v1/auth/login", json={"name": name, "password": password})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['data']['accessToken']}"}


def demo_people_come_in(product: Product) -> str:
    """Everybody of the demo sees himself, and only who may starts a run. Returns the id of the administrator's."""
    address, logins, password = printed(product)
    assert set(logins) == ROLES
    with httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
        product.until(lambda: _answers(client), 60, "the API to answer")
        seen: dict[str, Any] = {}
        for role, name in logins.items():
            headers = sign_in(client, name, password)
            me = client.get("/api/v1/auth/me", headers=headers).json()["data"]
            assert me["roles"] == [role]
            if role in ("student", "teacher", "admin"):
                seen[role] = client.post("/api/v1/sync/runs", json={"kind": "incremental"}, headers=headers)
        refused = {role: answer.status_code for role, answer in seen.items() if role in ("student", "teacher")}
        assert refused == {"student": 403, "teacher": 403}
        assert seen["admin"].status_code == 202, seen["admin"].text
        product.until_succeeded(60)
        return str(seen["admin"].json()["data"]["id"])


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False
