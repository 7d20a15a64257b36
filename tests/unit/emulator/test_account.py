"""Registries, secrets and network volumes: their rules, and that secrets stay inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runpodctl_py.emulator.errors import ControlPlaneError
from runpodctl_py.emulator.store import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import World

    from runpodctl_py.emulator.store import Store


def test_everything_comes_back_after_a_restart(
    tmp_path: Path, start: Callable[[Store], World]
) -> None:
    """Values of secrets and passwords included: workers need them."""
    store = SqliteStore(tmp_path / "state.sqlite3")
    account = start(store).state.account
    registry = account.create_registry("hub", "me", "hush")
    secret = account.create_secret("token", "s3cret", "for the hub")
    volume = account.create_volume("data", 20, "EU-RO-1")
    account.set_pub_key("ssh-ed25519 AAAA")
    again = start(store).state.account
    assert again.registries == {registry.id: registry}
    assert again.secrets == {secret.id: secret}
    assert again.volumes == {volume.id: volume}
    assert again.pub_key == "ssh-ed25519 AAAA"
    store.close()


def test_what_is_deleted_stays_deleted(start: Callable[[Store], World]) -> None:
    """Also after a restart."""
    store = SqliteStore(":memory:")
    account = start(store).state.account
    account.delete_registry(account.create_registry("hub", "me", "hush").id)
    account.delete_secret(account.create_secret("token", "s3cret").id)
    account.delete_volume(account.create_volume("data", 20, "EU-RO-1").id)
    again = start(store).state.account
    assert (again.registries, again.secrets, again.volumes) == ({}, {}, {})
    store.close()


def test_credentials_are_replaced_under_the_same_id(world: World) -> None:
    """Name and id stay."""
    account = world.state.account
    before = account.create_registry("hub", "me", "hush")
    after = account.update_registry(before.id, "you", "quiet")
    assert (after.id, after.name, after.username, after.password) == (
        before.id,
        "hub",
        "you",
        "quiet",
    )


@pytest.mark.proves("graphql: Mutation.deleteRegistryAuth", "rule: registry-in-use")
def test_a_registry_that_a_template_uses_cannot_be_deleted(world: World) -> None:
    """It can, once the template is gone; and a template cannot name one that is not there."""
    registry = world.state.account.create_registry("hub", "me", "hush")
    world.template("private", container_registry_auth_id=registry.id)
    with pytest.raises(ControlPlaneError, match="in use by template"):
        world.state.account.delete_registry(registry.id)
    world.state.control.delete_template("private")
    world.state.account.delete_registry(registry.id)
    with pytest.raises(ControlPlaneError, match="Unable to find registry auth"):
        world.template("private", container_registry_auth_id=registry.id)


@pytest.mark.proves("graphql: Mutation.deleteNetworkVolume", "rule: volume-in-use")
def test_a_volume_that_an_endpoint_uses_cannot_be_deleted(world: World) -> None:
    """Whichever of the two fields names it; and an endpoint cannot name one that is not there."""
    account = world.state.account
    first = account.create_volume("first", 10, "EU-RO-1")
    second = account.create_volume("second", 10, "EU-RO-1")
    endpoint = world.endpoint(network_volume_id=first.id, network_volume_ids=(second.id,))
    for volume in (first, second):
        with pytest.raises(ControlPlaneError, match=f"in use by endpoint {endpoint.id}"):
            account.delete_volume(volume.id)
    world.state.delete_endpoint(endpoint.id)
    account.delete_volume(first.id)
    with pytest.raises(ControlPlaneError, match=f"Unable to find network volume {first.id}"):
        world.endpoint(network_volume_id=first.id)


@pytest.mark.proves("graphql: Mutation.updateNetworkVolume", "rule: volume-in-use")
def test_a_volume_only_grows(world: World) -> None:
    """Renaming leaves its size alone."""
    account = world.state.account
    volume = account.create_volume("data", 20, "EU-RO-1", "HIGH_PERFORMANCE")
    assert account.update_volume(volume.id, size_gb=30).size_gb == 30
    renamed = account.update_volume(volume.id, name="more")
    assert (renamed.name, renamed.size_gb, renamed.type) == ("more", 30, "HIGH_PERFORMANCE")
    with pytest.raises(ControlPlaneError, match="cannot be reduced: it has 30 GB"):
        account.update_volume(volume.id, size_gb=29)


def test_impossible_resources_are_refused(world: World) -> None:
    """Each with the reason, and nothing is kept."""
    account = world.state.account
    account.create_registry("hub", "me", "hush")
    account.create_secret("token", "s3cret")
    for words, refused in (
        ("unique: hub", lambda: account.create_registry("hub", "you", "x")),
        ("name is required", lambda: account.create_registry("", "you", "x")),
        ("unique: token", lambda: account.create_secret("token", "x")),
        ("letters, digits and underscores", lambda: account.create_secret("to ken", "x")),
        ("name is required", lambda: account.create_volume("", 10, "EU-RO-1")),
        ("between 10 and 4096", lambda: account.create_volume("v", 9, "EU-RO-1")),
        ("between 10 and 4096", lambda: account.create_volume("v", 4097, "EU-RO-1")),
        ("Unknown data center: MARS-1", lambda: account.create_volume("v", 10, "MARS-1")),
        ("type must be", lambda: account.create_volume("v", 10, "EU-RO-1", "TAPE")),
        ("Unable to find registry", lambda: account.update_registry("nope", "a", "b")),
        ("Unable to find registry", lambda: account.delete_registry("nope")),
        ("Unable to find secret", lambda: account.delete_secret("nope")),
        ("Unable to find network", lambda: account.update_volume("nope", name="x")),
        ("Unable to find network", lambda: account.delete_volume("nope")),
    ):
        with pytest.raises(ControlPlaneError, match=words):
            refused()
    assert (len(account.registries), len(account.secrets), len(account.volumes)) == (1, 1, 0)


@pytest.mark.proves("graphql: Mutation.secretCreate", "rule: secrets-in-env")
def test_secrets_take_their_places_in_variables(world: World) -> None:
    """However they are spaced and whatever is around them; unknown names stay as written."""
    world.state.account.create_secret("token", "s3cret")
    world.state.account.create_secret("user", r"\1 {{ RUNPOD_SECRET_token }}")
    filled = world.state.account.fill(
        {
            "A": "{{ RUNPOD_SECRET_token }}",
            "B": "Bearer {{RUNPOD_SECRET_token}}!",
            "C": "{{ RUNPOD_SECRET_user }}",
            "D": "{{ RUNPOD_SECRET_nobody }}",
            "E": "plain",
        }
    )
    assert filled == {
        "A": "s3cret",
        "B": "Bearer s3cret!",
        "C": r"\1 {{ RUNPOD_SECRET_token }}",
        "D": "{{ RUNPOD_SECRET_nobody }}",
        "E": "plain",
    }


def test_secrets_do_not_show_in_tracebacks(world: World) -> None:
    """Their values are in no representation."""
    secret = world.state.account.create_secret("token", "s3cret")
    registry = world.state.account.create_registry("hub", "somebody", "hush")
    shown = f"{secret!r} {registry!r}"
    assert [word in shown for word in ("s3cret", "somebody", "hush", "token")] == [
        False,
        False,
        False,
        True,
    ]
