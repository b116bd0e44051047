"""Coming in and going out: by password, an identity provider's page, or WPS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from flask import Response, request

from db.engine import reading
from domain.tokens import CALLBACK_MS
from observability.log import get_logger
from usecases import configs, identity, logins, sso, wps_login
from usecases.identity import NotAuthenticated, Tokens
from web import site
from web.auth import bearer
from web.envelope import Answer, success
from web.errors import ApiError, of_exception
from web.policy import anybody, anyone_signed_in, at_door
from web.routes import PREFIX, Feature
from web.schemas import identity as shapes

T = TypeVar("T")

feature = Feature("auth", "登录 coming in, going on, going out", prefix=f"{PREFIX}/auth")
log = get_logger("web.sign_in")
COOKIE: Final = "obsync_sign_in"
_HERE: Final = {"localhost", "127.0.0.1", "[::1]"}
_COOKIE_SAYS: Final = "the browser that was sent away has a cookie that says so"
_SOME: Final = "20/minute"


# --- by password ----------------------------------------------------------------------------------------------------------


@feature.get("/methods", at_door("the page for signing in shows what there is"), data=shapes.Methods)
def list_methods() -> Answer:
    """The ways of signing in that the school takes."""
    here = site.deps()
    with reading(here.engine) as tx:
        on = {way: configs.value_of(tx, f"sign_in.{way}", tenant=here.tenant) for way in ("password", "wps")}
    named = [shapes.Way(name=one["name"]) for one in sso.providers(here, tenant=here.tenant) if one["enabled"]]
    return Answer(shapes.Methods(tenant=here.tenant, providers=named, **on).as_json())


@feature.post("/login", at_door("whoever signs in is nobody yet"), data=shapes.TokensOut)
def sign_in(body: shapes.SignIn) -> Answer:
    """Sign in by name and password.

    Wrong passwords make the next try wait (429, Retry-After): this name from this address, nobody else.
    """
    here = site.deps()
    pair = _at_door(
        lambda: identity.sign_in(
            here,
            tenant=here.tenant,
            name=body.name,
            password=body.password,
            address=request.remote_addr or "-",
            device=_device(),
        )
    )
    return Answer(_shape(pair))


@feature.post("/refresh", anybody("the token in the body is the credential"), data=shapes.TokensOut, errors=(401,))
def refresh(body: shapes.Refresh) -> Answer:
    """Exchange the refresh token for a new pair. It is good once: who brings it again ends the sign-in."""
    return Answer(_shape(identity.refresh(site.deps(), body.refresh_token)))


@feature.post("/logout", anyone_signed_in(unready=True), data=shapes.SignedOut, errors=(409,))
def sign_out() -> Answer:
    """End this sign-in, with both tokens."""
    _own_login()
    identity.sign_out(site.deps(), bearer(request.headers.get("Authorization")))
    return Answer(shapes.SignedOut(sign_in_again=True).as_json())


@feature.get("/me", anyone_signed_in(), data=shapes.Me)
def show_me() -> Answer:
    """Who is asking, in which school, and what he may do there."""
    scope, home = site.scope(), site.caller()
    login = logins.show_id(site.deps(), tenant=home.tenant, login_id=home.login) if home.login else {}
    shape = shapes.Me(
        user=scope.user,
        tenant=scope.tenant,
        home_tenant=home.tenant,
        id=login.get("id"),
        name=login.get("name"),
        title=login.get("title"),
        roles=sorted(scope.roles),
        colleges=sorted(scope.colleges),
        permissions=sorted(map(str, scope.permissions)),
    )
    return Answer(shape.as_json())


@feature.post("/password", anyone_signed_in(unready=True), data=shapes.SignedOut, errors=(409,), limit=_SOME)
def change_password(body: shapes.NewPassword) -> Answer:
    """Choose a new password. Every sign-in of the login ends, this one too."""
    home = _own_login()
    _at_door(
        lambda: logins.change_own_password(
            site.deps(), tenant=home.tenant, login_id=home.login, old=body.old, new=body.new
        )
    )
    return Answer(shapes.SignedOut(sign_in_again=True).as_json())


# --- by somebody else's page ----------------------------------------------------------------------------------------------


@feature.post("/sso/<provider>/begin", at_door("whoever signs in is nobody yet"), data=shapes.Left)
def begin_sso(path: shapes.ProviderPath, body: shapes.Leave) -> Response:
    """Where to send the browser, to sign in at the school's identity provider. Sets a cookie for the way back."""
    here = site.deps()
    sso.check_return(body.page)
    return _left(
        sso.begin(here, tenant=here.tenant, provider=path.provider, redirect_uri=_page(body.page), back_to=body.back_to)
    )


@feature.post("/sso/callback", anybody(_COOKIE_SAYS), data=shapes.TokensOut, errors=(401,))
def finish_sso(body: shapes.Back) -> Response:
    """What came back from the identity provider, in the browser that was sent there: a sign-in."""
    pair, back_to = _at_door(
        lambda: sso.finish(
            site.deps(), state=body.state, binding=_binding(), code=body.code, error=body.error, device=_device()
        )
    )
    return _arrived(_shape(pair, back_to))


@feature.post("/wps/begin", at_door("whoever signs in is nobody yet"), data=shapes.Left)
def begin_wps(body: shapes.Leave) -> Response:
    """Where to send the browser, to sign in by WPS; inside its app nothing is seen. Sets a cookie for the way back."""
    here = site.deps()
    sso.check_return(body.page)
    return _left(wps_login.begin(here, tenant=here.tenant, redirect_uri=_page(body.page), back_to=body.back_to))


@feature.post("/wps/callback", anybody(_COOKIE_SAYS), data=shapes.Outcome, status=202, errors=(401,))
def take_wps(body: shapes.Back) -> Answer:
    """What came back from WPS. A worker asks WPS who it is; ask /auth/wps/poll for the outcome."""
    _at_door(
        lambda: wps_login.came_back(site.deps(), state=body.state, binding=_binding(), code=body.code, error=body.error)
    )
    return Answer(shapes.Outcome(pending=True).as_json(), 202)


@feature.post("/wps/poll", anybody(_COOKIE_SAYS), data=shapes.Outcome, errors=(401,))
def poll_wps() -> Response:
    """The sign-in, once; or that WPS is still being asked."""
    found = _at_door(lambda: wps_login.outcome(site.deps(), binding=_binding(), device=_device()))
    if found is None:
        return success(Answer(shapes.Outcome(pending=True).as_json()))
    outcome = shapes.Outcome(pending=False, tokens=shapes.TokensOut(**_tokens(*found)))
    return _arrived(outcome.as_json())


# --- what they share ------------------------------------------------------------------------------------------------------


def _at_door(work: Callable[[], T]) -> T:
    """The same refusal whatever was wrong; the reason is in the log."""
    try:
        return work()
    except NotAuthenticated as error:
        if of_exception(error) is not None:
            raise
        log.info("request.sign_in_refused", reason=error.reason)
        raise ApiError("SIGN_IN_REFUSED") from None


def _own_login() -> Any:
    """The caller at home. Raises `ApiError` 409 for an API key, which has no sign-in and no password."""
    home = site.caller()
    if not home.login:
        raise ApiError("NO_SIGN_IN")
    return home


def _tokens(pair: Tokens, back_to: str | None = None) -> dict[str, Any]:
    return {
        "access_token": pair.access,
        "refresh_token": pair.refresh,
        "expires_in": pair.access_ms // 1000,
        "refresh_expires_in": pair.refresh_ms // 1000,
        "must_change_password": pair.must_change_password,
        "back_to": back_to,
    }


def _shape(pair: Tokens, back_to: str | None = None) -> dict[str, Any]:
    return shapes.TokensOut(**_tokens(pair, back_to)).as_json()


def _device() -> str:
    return request.headers.get("User-Agent", "")


def _page(page: str) -> str:
    """A page of this site as the provider has to know it."""
    return request.host_url.rstrip("/") + page


def _binding() -> str:
    return request.cookies.get(COOKIE, "")


def _left(begun: sso.Begun) -> Response:
    response = success(Answer(shapes.Left(url=begun.url).as_json()))
    response.set_cookie(COOKIE, begun.binding, max_age=CALLBACK_MS // 1000, **_flags())
    return response


def _arrived(data: dict[str, Any]) -> Response:
    response = success(Answer(data))
    response.delete_cookie(COOKIE, **_flags())
    return response


def _flags() -> dict[str, Any]:
    """Lax, because the browser comes from the provider's page; plain http is for one's own machine alone."""
    is_here = request.host.rpartition(":")[0] in _HERE or request.host in _HERE
    return {"path": f"{PREFIX}/auth", "httponly": True, "samesite": "Lax", "secure": request.is_secure or not is_here}
