"""What the Hub's own client is set to while kn-edit works, and afterwards."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from huggingface_hub import constants, get_session, set_client_factory
from huggingface_hub.utils import _http
from huggingface_hub.utils.logging import get_verbosity, set_verbosity

from kn_edit.hub.client import Hub
from kn_edit.hub.session import quiet_session
from kn_edit.models.hub_http import Guard, UnrulyHub, time_limit


@pytest.fixture
def their_client() -> Iterator[Any]:
    """A client that a user made, with a mark of its own."""
    before = _http._GLOBAL_CLIENT_FACTORY

    def factory() -> Any:
        client = before()
        client.headers["X-Mark"] = "theirs"
        return client

    set_client_factory(factory)
    yield factory
    set_client_factory(before)


def settings() -> tuple[object, ...]:
    return _http._GLOBAL_CLIENT_FACTORY, constants.HF_HUB_DISABLE_XET, get_verbosity()


def test_everything_is_put_back_even_after_an_error(their_client):
    set_verbosity(logging.INFO)
    before = settings()
    with pytest.raises(RuntimeError), quiet_session():
        assert constants.HF_HUB_DISABLE_XET is True
        assert get_verbosity() == logging.CRITICAL
        raise RuntimeError
    assert settings() == before
    assert before[0] is their_client
    set_verbosity(logging.WARNING)


@pytest.mark.parametrize(("asked", "given"), [(None, 7.0), (3.0, 3.0), (60.0, 7.0)])
def test_no_request_waits_longer_than_the_limit(asked, given, their_client, monkeypatch):
    monkeypatch.setenv("KN_EDIT_HUB_TIMEOUT", "7")
    with quiet_session():
        client = get_session()
        assert client.headers["X-Mark"] == "theirs"
        request = client.build_request("GET", "https://127.0.0.1", timeout=asked)
        client.event_hooks["request"][-1](request)
        assert {*request.extensions["timeout"].values()} == {given}


@pytest.mark.parametrize("text", ["", "soon", "-1", "inf", "nan", "2.5"])
def test_the_time_limit_is_a_number_of_seconds(text, monkeypatch):
    monkeypatch.setenv("KN_EDIT_HUB_TIMEOUT", text)
    assert time_limit() == (2.5 if text == "2.5" else 30.0)


def test_the_address_that_is_shown_holds_no_password(monkeypatch):
    hub = Hub("ann/model")
    hub.api.endpoint = "https://ann:secret@hub.example.org/x"
    assert hub.address == "https://hub.example.org/x"


HOME = "https://hub.example.org"


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        (f"{HOME}/api/x", True),
        ("https://hub.example.org:443/api/x", True),
        ("https://HUB.example.org/api/x", True),
        ("https://hub.example.org:8443/api/x", False),
        ("https://hub.example.org.evil.net/api/x", False),
        ("https://evil.net/https://hub.example.org", False),
        ("https://hub.example.org@evil.net/", False),
        ("https://cdn.example.org/x", False),
    ],
)
def test_only_the_hub_itself_gets_the_token(address, kept):
    request_type = type(get_session().build_request("GET", HOME))
    guard = Guard(HOME, ("hf_ann_write",), 1.0)
    request = request_type("GET", address, headers={"Authorization": "Bearer hf_ann_write"})
    guard.send(request)
    assert ("Authorization" in request.headers) == kept


@pytest.mark.parametrize("address", ["http://hub.example.org/x", "http://127.0.0.1/x"])
def test_a_hub_with_encryption_leads_to_no_address_without(address):
    request_type = type(get_session().build_request("GET", HOME))
    with pytest.raises(UnrulyHub, match="without encryption"):
        Guard(HOME, (), 1.0).send(request_type("GET", address))
