"""Shapes of signing in."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, Strict, StringConstraints

from web.schemas.base import In, Out, Text

Secret = Annotated[
    str, Strict(), StringConstraints(min_length=1, max_length=1024), Field(json_schema_extra={"format": "password"})
]
"""Taken as it is, blanks included."""
Token = Annotated[str, Strict(), StringConstraints(min_length=1, max_length=8_192)]
Page = Annotated[Text, Field(min_length=1, max_length=500, examples=["/today"])]


class SignIn(In):
    """A name and its password."""

    name: Annotated[Text, Field(min_length=1, max_length=200, examples=["demo-admin"])]
    password: Annotated[Secret, Field(repr=False, examples=["correct horse battery"])]


class Refresh(In):
    """A refresh token, which is good once."""

    refresh_token: Annotated[Token, Field(repr=False)]


class NewPassword(In):
    """The password there is, and the one that is wanted."""

    old: Annotated[Secret, Field(repr=False)]
    new: Annotated[Secret, Field(repr=False, examples=["nine violet lanterns"])]


class Leave(In):
    """Where somebody else's page shall send the browser: a page of this site, and to which page that one goes on."""

    page: Annotated[Page, Field(examples=["/sign-in/back"])] = "/sign-in/back"
    back_to: Page = "/"


class Back(In):
    """What somebody else's page has put into the address: ``code`` and ``state``, or ``error``."""

    state: Annotated[Token, Field(repr=False)]
    code: Annotated[str, Strict(), StringConstraints(max_length=2_000), Field(repr=False)] = ""
    error: Annotated[Text, Field(max_length=200)] = ""


class ProviderPath(In):
    """Which identity provider."""

    provider: Annotated[str, Field(pattern=r"^[0-9A-Za-z_.-]{1,60}$")]


class TokensOut(Out):
    """A sign-in. Seconds; ``backTo`` is the page to go on to where somebody else's page was in between."""

    access_token: str
    refresh_token: str
    token_type: str = "Bearer"  # noqa: S105 (its kind)
    expires_in: int
    refresh_expires_in: int
    must_change_password: bool
    back_to: str | None = None


class Way(Out):
    """A provider's page by its name."""

    name: str


class Methods(Out):
    """The ways of signing in that the school takes."""

    tenant: str
    password: bool
    wps: bool
    providers: list[Way]


class Left(Out):
    """The page to send the browser to."""

    url: str


class Outcome(Out):
    """Whether WPS has said who it is; ``tokens`` where it has."""

    pending: bool
    tokens: TokensOut | None = None


class SignedOut(Out):
    """It is done; ``signInAgain`` where every sign-in has ended."""

    sign_in_again: bool


class Me(Out):
    """Who is asking. ``id`` and ``name`` are null for an API key, ``tenant`` is the school at hand."""

    user: str
    tenant: str
    home_tenant: str
    id: str | None
    name: str | None
    title: str | None
    roles: list[str]
    colleges: list[str]
    permissions: list[str]
