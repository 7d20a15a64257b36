"""What belongs to the account and not to an endpoint: registries, secrets, volumes, the SSH key.

Owns their rules (API reference 1.5, 3.2) and puts secrets where templates name them. Who uses a
registry or a volume is `plane.py`'s knowledge; it is asked through a callable.
"""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, TypeVar

from runpodctl_py.emulator.control.catalog import DATA_CENTERS
from runpodctl_py.emulator.control.model import NetworkVolume, RegistryAuth, Secret
from runpodctl_py.emulator.errors import ControlPlaneError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from runpodctl_py.emulator.ids import Ids
    from runpodctl_py.emulator.store import Snapshot, Store

_Resource = TypeVar("_Resource")

SMALLEST_VOLUME_GB = 10
LARGEST_VOLUME_GB = 4096
VOLUME_TYPES = ("STANDARD", "HIGH_PERFORMANCE")

_REGISTRY, _SECRET, _VOLUME, _SETTINGS = "registry", "secret", "network volume", "settings"
"""What the store calls their kinds."""

_USER = "user"
"""The id of the one record of settings."""

_REFERENCE = re.compile(r"\{\{\s*RUNPOD_SECRET_(\w+)\s*\}\}")


class Account:
    """What the one account there is owns beside templates and endpoints.

    Args:
        store: Where it is kept.
        kept: What it held at the start.
        now: Tells the wall time.
        ids: Makes the ids.
        in_use: Given the id of a registry auth or a volume, says who uses it, if anybody does:
            "template xkhgg72fuo".
    """

    def __init__(
        self,
        store: Store,
        kept: Snapshot,
        now: Callable[[], float],
        ids: Ids,
        in_use: Callable[[str], str | None],
    ) -> None:
        self._store = store
        self._now = now
        self._ids = ids
        self._in_use = in_use
        self.registries = {each["id"]: RegistryAuth(**each) for each in kept.of(_REGISTRY)}
        self.secrets = {each["id"]: Secret(**each) for each in kept.of(_SECRET)}
        self.volumes = {each["id"]: NetworkVolume(**each) for each in kept.of(_VOLUME)}
        self.pub_key: str | None = None
        """The user's SSH keys, as they were set."""
        for settings in kept.of(_SETTINGS):
            self.pub_key = settings["pub_key"]

    def set_pub_key(self, pub_key: str | None) -> None:
        """Replaces the user's SSH keys."""
        self._store.put(_SETTINGS, _USER, {"pub_key": pub_key})
        self.pub_key = pub_key

    def clear(self) -> None:
        """Forgets everything; the store has been emptied."""
        self.registries.clear()
        self.secrets.clear()
        self.volumes.clear()
        self.pub_key = None

    # Registries.

    def create_registry(self, name: str, username: str, password: str) -> RegistryAuth:
        """Keeps what is needed to pull from a registry.

        Raises:
            ControlPlaneError: The name is empty or taken.
        """
        _check_name("Registry auth", name, (each.name for each in self.registries.values()))
        return self._put_registry(RegistryAuth(self._ids.registry(), name, username, password))

    def update_registry(self, registry_id: str, username: str, password: str) -> RegistryAuth:
        """Replaces a registry's credentials.

        Raises:
            ControlPlaneError: There is none of this id.
        """
        registry = _known("registry auth", self.registries, registry_id)
        return self._put_registry(replace(registry, username=username, password=password))

    def delete_registry(self, registry_id: str) -> None:
        """Deletes a registry's credentials.

        Raises:
            ControlPlaneError: There is none of this id, or a template uses it.
        """
        _known("registry auth", self.registries, registry_id)
        self._check_unused("Registry auth", registry_id)
        self._store.drop(_REGISTRY, registry_id)
        del self.registries[registry_id]

    # Secrets.

    def create_secret(self, name: str, value: str, description: str = "") -> Secret:
        """Keeps a secret; templates refer to it as `{{ RUNPOD_SECRET_name }}`.

        Raises:
            ControlPlaneError: The name is empty, taken, or cannot be referred to.
        """
        _check_name("Secret", name, (each.name for each in self.secrets.values()))
        if not re.fullmatch(r"\w+", name):
            raise ControlPlaneError("Secret name may only have letters, digits and underscores")
        now = self._now()
        secret = Secret(self._ids.secret(), name, value, description, now, now)
        self._store.put(_SECRET, secret.id, asdict(secret))
        self.secrets[secret.id] = secret
        return secret

    def delete_secret(self, secret_id: str) -> None:
        """Deletes a secret; templates may still refer to it.

        Raises:
            ControlPlaneError: There is none of this id.
        """
        _known("secret", self.secrets, secret_id)
        self._store.drop(_SECRET, secret_id)
        del self.secrets[secret_id]

    def fill(self, env: Mapping[str, str]) -> dict[str, str]:
        """Returns a template's variables as its workers get them: secrets in their places.

        A reference to a secret that does not exist stays as it is written, for all to see.
        """
        values = {each.name: each.value for each in self.secrets.values()}

        def value(reference: re.Match[str]) -> str:
            return values.get(reference[1], reference[0])

        return {name: _REFERENCE.sub(value, text) for name, text in env.items()}

    # Network volumes.

    def create_volume(
        self,
        name: str,
        size_gb: int,
        data_center_id: str,
        type: str = "STANDARD",  # noqa: A002  RunPod's name, as in `NetworkVolume`.
    ) -> NetworkVolume:
        """Keeps a network volume.

        Raises:
            ControlPlaneError: The name is empty, the size not offered, or there is no such data
                centre or storage tier.
        """
        if not name:
            raise ControlPlaneError("Network volume name is required")
        if data_center_id not in DATA_CENTERS:
            raise ControlPlaneError(f"Unknown data center: {data_center_id}")
        if type not in VOLUME_TYPES:
            raise ControlPlaneError(f"type must be one of {', '.join(VOLUME_TYPES)}")
        _check_size(size_gb)
        return self._put_volume(
            NetworkVolume(self._ids.volume(), name, size_gb, data_center_id, type, self._now())
        )

    def update_volume(
        self, volume_id: str, *, name: str | None = None, size_gb: int | None = None
    ) -> NetworkVolume:
        """Renames a volume, or makes it larger.

        Raises:
            ControlPlaneError: There is none of this id, or it would have to shrink.
        """
        volume = _known("network volume", self.volumes, volume_id)
        size_gb = volume.size_gb if size_gb is None else size_gb
        _check_size(size_gb)
        if size_gb < volume.size_gb:
            raise ControlPlaneError(
                f"Network volume size cannot be reduced: it has {volume.size_gb} GB"
            )
        return self._put_volume(replace(volume, name=name or volume.name, size_gb=size_gb))

    def delete_volume(self, volume_id: str) -> None:
        """Deletes a volume.

        Raises:
            ControlPlaneError: There is none of this id, or an endpoint uses it.
        """
        _known("network volume", self.volumes, volume_id)
        self._check_unused("Network volume", volume_id)
        self._store.drop(_VOLUME, volume_id)
        del self.volumes[volume_id]

    def _put_registry(self, registry: RegistryAuth) -> RegistryAuth:
        self._store.put(_REGISTRY, registry.id, asdict(registry))
        self.registries[registry.id] = registry
        return registry

    def _put_volume(self, volume: NetworkVolume) -> NetworkVolume:
        self._store.put(_VOLUME, volume.id, asdict(volume))
        self.volumes[volume.id] = volume
        return volume

    def _check_unused(self, what: str, resource_id: str) -> None:
        if (user := self._in_use(resource_id)) is not None:
            raise ControlPlaneError(f"{what} is in use by {user} and cannot be deleted")


def _known(what: str, resources: Mapping[str, _Resource], resource_id: str) -> _Resource:
    try:
        return resources[resource_id]
    except KeyError:
        raise ControlPlaneError(f"Unable to find {what} {resource_id}") from None


def _check_name(what: str, name: str, taken: Iterable[str]) -> None:
    if not name:
        raise ControlPlaneError(f"{what} name is required")
    if name in taken:
        raise ControlPlaneError(f"{what} name must be unique: {name}")


def _check_size(size_gb: int) -> None:
    if not SMALLEST_VOLUME_GB <= size_gb <= LARGEST_VOLUME_GB:
        raise ControlPlaneError(
            f"size must be between {SMALLEST_VOLUME_GB} and {LARGEST_VOLUME_GB} GB"
        )
