"""Single sign-on against a provider that speaks the real protocol, on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, select

from db.configs import Place
from db.engine import reading
from db.tables.identity import identity_providers, login_states
from domain.configs import Level
from remote.guarded import AddressRefused, Guard
from remote.oidc import OidcClient
from tests.integration.identity_rig import OTHER_KEY, School, now, school
from tests.integration.oidc_provider import CLIENT, SECRET, Idp, browse, running
from usecases import configs, identity, logins, sealing, sso
from usecases.identity import NotAuthenticated

pytestmark = pytest.mark.integration
BACK = "https://obsync.example/auth/callback"


@pytest.fixture(scope="session")
def provider() -> Iterator[Idp]:
    """One provider for the session; `idp` puts it right again."""
    with running() as one:
        yield one


@pytest.fixture
def idp(provider: Idp) -> Idp:
    """A provider at which Mei is signed in."""
    provider.user = {"sub": "sub-1", "preferred_username": "s1"}
    provider.spoil, provider.metadata, provider.token_headers = {}, {}, {}
    return provider


@pytest.fixture
def here(database: Engine, idp: Idp) -> School:
    """A school that has the provider configured."""
    made = school(database)
    return configured(replace(made, deps=replace(made.deps, oidc=OidcClient(Guard([idp.place])))), idp)


def configured(made: School, idp: Idp) -> School:
    sso.save_provider(
        made.deps,
        tenant="main",
        name="campus",
        issuer=idp.address,
        client_id=CLIENT,
        client_secret=SECRET,
        actor="test",
    )
    return made


def begin(here: School, **more: Any) -> sso.Begun:
    return sso.begin(here.deps, tenant="main", provider="campus", redirect_uri=BACK, back_to="/today", **more)


def come_in(here: School) -> identity.Tokens:
    """There and back."""
    begun = begin(here)
    said = browse(begun.url)
    pair, back = sso.finish(here.deps, state=said["state"], binding=begun.binding, code=said["code"])
    assert back == "/today"
    return pair


def refused(work: Callable[[], object]) -> str:
    with pytest.raises(NotAuthenticated) as told:
        work()
    return told.value.reason


def test_a_listed_student_comes_in_by_the_schools_account(here: School) -> None:
    """Nobody types in fifty thousand logins: the lists of the school say who there is."""
    pair = come_in(here)
    scope = identity.scope_of(here.deps, pair.access, now())
    assert (scope.user, scope.roles) == ("s1", {"student"})
    assert come_in(here).login_id == pair.login_id
    assert refused(lambda: here.sign_in("s1")) == "credentials", "no password came with it"


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_keys_are_rotated_while_people_sign_in(here: School, idp: Idp, algorithm: str) -> None:
    """The provider changes its keys without asking us."""
    come_in(here)
    idp.rotate(algorithm)
    assert come_in(here)
    idp.rotate()


def test_who_is_not_on_the_lists_or_somebody_elses_does_not_come_in(here: School, idp: Idp) -> None:
    """The provider vouches for a subject; whose number that is, is ours to believe once."""
    come_in(here)
    idp.user = {"sub": "sub-2", "preferred_username": "s1"}
    assert refused(lambda: come_in(here)) == "linked_to_another"
    for claim in ("nobody", "", None, ["s2"]):
        idp.user = {"sub": "sub-3", "preferred_username": claim}
        assert refused(lambda: come_in(here)) == "nobody_with_that_number"
    configs.change(here.deps, Place(Level.TENANT, "main"), {"sign_in.people": False}, actor="test")
    idp.user = {"sub": "sub-4", "preferred_username": "s2"}
    assert refused(lambda: come_in(here)) == "no_login"
    idp.user = {"sub": "sub-1", "preferred_username": "renamed"}
    assert come_in(here), "who is linked stays linked"
    logins.set_state(here.deps, tenant="main", name="s1", active=False, actor="test")
    assert refused(lambda: come_in(here)) == "disabled"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        ({"nonce": "another"}, "nonce"), ({"nonce": None}, "nonce"), ({"iss": "https://evil.example"}, "issuer"),
        ({"aud": "another-client"}, "audience"), ({"aud": [CLIENT, "another"]}, "audience"), ({"exp": 1}, "times"),
        ({"exp": None}, "times"), ({"iat": 1}, "times"), ({"sub": ""}, "subject"), ({"sub": None}, "subject"),
    ],
)  # fmt: skip
def test_a_token_for_somebody_else_is_worth_nothing(here: School, idp: Idp, spoil: dict[str, Any], reason: str) -> None:
    """Each claim keeps one thing out: another client's token, an old one, one of another browser."""
    idp.spoil = spoil
    assert refused(lambda: come_in(here)) == reason


def test_a_signature_by_a_key_that_is_not_the_providers_is_refused(here: School, idp: Idp) -> None:
    """Also when it names a key of the provider."""
    come_in(here)
    real, (algorithm, key) = list(idp.keys), idp.signer
    idp.rotate(algorithm)
    idp.keys = real
    assert refused(lambda: come_in(here)).startswith("signature")
    idp.keys, idp.signer = real, (algorithm, key)


def test_a_state_is_good_once_in_its_own_browser_and_for_ten_minutes(here: School) -> None:
    """Who sends somebody a link with his own code would have him work in his account."""
    begun, other = begin(here), begin(here)
    said = browse(begun.url)
    finish = lambda **more: sso.finish(  # noqa: E731
        here.deps, **{"state": said["state"], "binding": begun.binding, "code": said["code"], **more}
    )
    assert refused(lambda: finish(binding=other.binding)) == "state"
    assert refused(lambda: finish(binding="")).startswith("binding")
    assert refused(lambda: finish(binding=here_token(here))) == "binding:wrong_type"
    assert refused(lambda: finish(state="x")) == "state"
    assert refused(lambda: finish(now_ms=now() + 601_000)) == "binding:expired"
    assert finish()[0].access
    assert refused(finish) == "state"
    denied = begin(here)
    assert refused(
        lambda: sso.finish(here.deps, state=denied.state, binding=denied.binding, code="", error="login_required")
    )


def here_token(here: School) -> str:
    here.add("ada", "admin")
    return here.sign_in("ada").access


def test_a_stolen_code_is_worth_nothing_without_the_verifier(here: School) -> None:
    """The code is seen by the browser and by whatever stands between; the verifier by nobody."""
    victim, thief = begin(here), begin(here)
    code = browse(victim.url)["code"]
    assert (
        refused(lambda: sso.finish(here.deps, state=thief.state, binding=thief.binding, code=code))
        == "token:invalid_grant"
    )


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example"}, {"token_endpoint": None}, {"code_challenge_methods_supported": ["plain"]},
        {"jwks_uri": "http://169.254.169.254/latest"}, {"token_endpoint": "http://10.0.0.1/token"}, {"jwks_uri": "file:///etc/passwd"},
    ],
)  # fmt: skip
def test_a_provider_that_says_odd_things_of_itself_is_not_used(
    here: School, idp: Idp, metadata: dict[str, Any]
) -> None:
    """Discovery is somebody else's text: its addresses are looked at like typed ones."""
    idp.metadata = metadata
    with pytest.raises(sso.ProviderUnusable):
        begin(here)


def test_an_address_inside_is_not_called_by_provider_or_redirect(here: School, idp: Idp) -> None:
    """Whoever may configure a provider could read the metadata service of our cloud otherwise."""
    with pytest.raises(AddressRefused):
        sso.save_provider(
            here.deps,
            tenant="main",
            name="x",
            issuer="http://169.254.169.254",
            client_id="a",
            client_secret="",
            actor="test",
        )
    idp.token_headers = {"Location": f"{idp.address}/jwks"}
    before = len(idp.paths)
    with pytest.raises(sso.ProviderUnusable):
        come_in(here)
    assert "/jwks" not in idp.paths[before + 1 :], "the redirect was not followed"


def test_secrets_at_rest_are_bound_to_their_rows_and_their_key_can_be_changed(here: School) -> None:
    """A row copied to another school opens nothing there, and an old key can be taken out while people sign in."""
    begun = begin(here)
    with reading(here.deps.engine) as tx:
        sealed = tx.execute(select(identity_providers.c.client_secret)).scalar_one()
        verifier = tx.execute(select(login_states.c.verifier)).scalar_one()
    assert SECRET not in sealed and begun.state not in verifier
    at = sealing.place_of("main", "identity_providers", "client_secret", "campus")
    assert sealing.unseal(sealed, encryption_keys=here.deps.encryption_keys, place=at) == SECRET
    for moved in (at.replace("main", "other", 1), at.replace("campus", "x"), at.replace("client_secret", "scopes")):
        with pytest.raises(sealing.CannotDecrypt):
            sealing.unseal(sealed, encryption_keys=here.deps.encryption_keys, place=moved)
    both = replace(here.deps, encryption_keys=f"k2:{OTHER_KEY},{here.deps.encryption_keys}")
    assert sealing.in_use(both) == {"k1": 4}
    assert sealing.rotate(both) == {"resealed": 4, "unreadable": 0}
    assert sealing.rotate(both) == {"resealed": 0, "unreadable": 0}
    assert sealing.in_use(both) == {"k2": 4}
    said = browse(begun.url)
    assert sso.finish(both, state=said["state"], binding=begun.binding, code=said["code"])[0].access
    only = replace(both, encryption_keys=f"k2:{OTHER_KEY}")
    assert come_in(replace(here, deps=only))


@pytest.mark.parametrize(
    "back_to", ["https://evil.example", "//evil.example", "/\\evil.example", "", "/a\nb", "/" + "x" * 500]
)
def test_the_way_back_stays_on_this_site(here: School, back_to: str) -> None:
    """A sign-in page that sends people anywhere is what a swindler looks for."""
    with pytest.raises(sso.BadReturn):
        sso.begin(here.deps, tenant="main", provider="campus", redirect_uri=BACK, back_to=back_to)
