"""Who may do what at the routes of signing in, logins, keys and settings: written by hand, like `test_api_authorization`."""

from __future__ import annotations

from typing import Any

_ANYONE = dict.fromkeys(("anyone", "student", "teacher", "secretary", "admin", "platform"), "*")
_SIGNED_IN = dict.fromkeys(("student", "teacher", "secretary", "admin", "platform"), "*")
_ADMINS = {"admin": "ocs", "platform": "ocs"}
_SCHOOL = {"admin": "*", "platform": "*"}

IDENTITY: dict[str, dict[str, str]] = {
    "GET /api/v1/auth/methods": _ANYONE,
    "POST /api/v1/auth/login": _ANYONE,
    "POST /api/v1/auth/refresh": _ANYONE,
    "POST /api/v1/auth/logout": _SIGNED_IN,
    "GET /api/v1/auth/me": _SIGNED_IN,
    "GET /api/v1/notices": _SIGNED_IN,
    "GET /api/v1/notices/counts": _SIGNED_IN,
    "POST /api/v1/notices/read": _SIGNED_IN,
    "POST /api/v1/auth/password": _SIGNED_IN,
    "POST /api/v1/auth/sso/<provider>/begin": _ANYONE,
    "POST /api/v1/auth/sso/callback": _ANYONE,
    "POST /api/v1/auth/wps/begin": _ANYONE,
    "POST /api/v1/auth/wps/callback": _ANYONE,
    "POST /api/v1/auth/wps/poll": _ANYONE,
    "GET /api/v1/users": _SIGNED_IN,
    "POST /api/v1/users": _SCHOOL,
    "GET /api/v1/users/<user_id>": {"secretary": "o", **_ADMINS},
    "PUT /api/v1/users/<user_id>/roles": _ADMINS,
    "POST /api/v1/users/<user_id>/disable": _ADMINS,
    "POST /api/v1/users/<user_id>/enable": _ADMINS,
    "POST /api/v1/users/<user_id>/password": _ADMINS,
    "POST /api/v1/users/<user_id>/sign-out": _ADMINS,
    "GET /api/v1/roles": _SCHOOL,
    "PUT /api/v1/roles/<name>": _SCHOOL,
    "DELETE /api/v1/roles/<name>": _SCHOOL,
    "GET /api/v1/keys": _SCHOOL,
    "POST /api/v1/keys": _SCHOOL,
    "POST /api/v1/keys/<prefix>/rotate": _ADMINS,
    "POST /api/v1/keys/<prefix>/revoke": _ADMINS,
    "GET /api/v1/configs/<level>": _ADMINS,
    "GET /api/v1/configs/<level>/history": _ADMINS,
    "GET /api/v1/configs/<level>/<key>": _ADMINS,
    "PUT /api/v1/configs/<level>/<key>": _ADMINS,
    "DELETE /api/v1/configs/<level>/<key>": _ADMINS,
}
"""Role → letters: o a thing of the own college, c of another one, s of the whole school, a of another school; * nobody's."""

BODIES: dict[str, Any] = {
    "POST /api/v1/notices/read": {"all": True},
    "POST /api/v1/auth/login": {"name": "nobody", "password": "wrong"},
    "POST /api/v1/auth/refresh": {"refreshToken": "none"},
    "POST /api/v1/auth/password": {"old": "wrong", "new": "nine violet lanterns"},
    "POST /api/v1/auth/sso/<provider>/begin": {},
    "POST /api/v1/auth/sso/callback": {"state": "none", "code": "none"},
    "POST /api/v1/auth/wps/begin": {},
    "POST /api/v1/auth/wps/callback": {"state": "none", "code": "none"},
    "POST /api/v1/users": {"name": "helper", "roles": [{"role": "student"}]},
    "PUT /api/v1/users/<user_id>/roles": {"roles": []},
    "PUT /api/v1/roles/<name>": {"permissions": ["run.read:tenant"]},
    "POST /api/v1/keys": {"name": "screen", "permissions": ["run.read:tenant"]},
    "POST /api/v1/keys/<prefix>/rotate": {},
    "PUT /api/v1/configs/<level>/<key>": {"value": 20},
}
"""What each route takes, where it takes something."""
