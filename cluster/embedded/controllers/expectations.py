"""What a controller wrote and its informer has not seen yet, so that a stale cache is not acted upon twice."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from cluster.embedded.informer import Informer, Key
from cluster.embedded.meta import key_of
from cluster.embedded.resources import Object

_FORGOTTEN_AFTER_SECONDS = 300.0


@dataclass(slots=True)
class _Expected:
    creations: int = 0
    deletions: set[str] = field(default_factory=set)
    since: float = field(default_factory=time.monotonic)


class Expectations:
    """Creations and deletions that are still to be observed, by the key of the object that wanted them."""

    def __init__(self) -> None:
        self._expected: dict[Key, _Expected] = {}

    def expect_creations(self, key: Key, count: int) -> None:
        """Expect to see this many new objects."""
        self._of(key).creations += count

    def expect_deletions(self, key: Key, uids: Iterable[str]) -> None:
        """Expect to see these objects deleted or marked for deletion."""
        self._of(key).deletions.update(uids)

    def created(self, key: Key) -> None:
        """A creation was observed, or failed."""
        if expected := self._expected.get(key):
            expected.creations -= 1

    def deleted(self, key: Key, uid: str) -> None:
        """A deletion was observed, or failed."""
        if expected := self._expected.get(key):
            expected.deletions.discard(uid)

    def satisfied(self, key: Key) -> bool:
        """Whether everything was observed (or so long ago that an event must have been lost)."""
        expected = self._expected.get(key)
        if expected is None:
            return True
        old = time.monotonic() - expected.since > _FORGOTTEN_AFTER_SECONDS
        if old or (expected.creations <= 0 and not expected.deletions):
            del self._expected[key]
            return True
        return False

    def forget(self, key: Key) -> None:
        """The object is gone."""
        self._expected.pop(key, None)

    def _of(self, key: Key) -> _Expected:
        return self._expected.setdefault(key, _Expected())


class Writes:
    """The versions an owner wrote of its objects, until its informer shows them.

    An update of a stale object is refused by the API, but a sum over stale objects is just wrong.
    """

    def __init__(self, informer: Informer) -> None:
        self._informer = informer
        self._written: dict[Key, dict[Key, tuple[int, float]]] = {}

    def wrote(self, owner: Key, obj: Object) -> None:
        """The owner created or changed the object."""
        entry = (int(obj["metadata"]["resourceVersion"]), time.monotonic())
        self._written.setdefault(owner, {})[key_of(obj)] = entry

    def deleted(self, owner: Key, key: Key) -> None:
        """The informer saw the object go."""
        self._written.get(owner, {}).pop(key, None)

    def seen(self, owner: Key) -> bool:
        """Whether the informer shows every write (or had so long that an event must have been lost)."""
        written = self._written.get(owner, {})
        for key, (version, since) in list(written.items()):
            obj = self._informer.get(*key)
            current = obj is not None and int(obj["metadata"]["resourceVersion"]) >= version
            if current or time.monotonic() - since > _FORGOTTEN_AFTER_SECONDS:
                del written[key]
        if not written:
            self._written.pop(owner, None)
        return not written
