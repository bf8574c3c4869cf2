"""Which object of this run plays which one of the recording: names, uids, versions and tokens in requests."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from tests.conformance import normalise
from tests.conformance.api.http import Observer
from tests.conformance.compare import differences

_WORD = re.compile(r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*")
_HASH = re.compile(r"(?=[a-z]*[0-9])[bcdfghjklmnpqrstvwxz2456789]{8,10}")


@dataclass(slots=True)
class Names:
    """Recorded words and what stands for them here. Learned from answers; guessed by shape for generated names."""

    observer: Observer
    identities: dict[str, tuple[str, str]] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    versions: dict[int, str] = field(default_factory=dict)

    def learn(self, recorded: Any, actual: Any) -> None:
        """Take in what an answer shows: identities of the same object in both."""
        if isinstance(recorded, dict) and isinstance(actual, dict):
            self._learn_metadata(recorded.get("metadata"), actual.get("metadata"))
            for key in ("items", "rows"):
                self._learn_items(recorded.get(key), actual.get(key))
            if "items" in recorded:
                self._learn_latest(recorded.get("metadata"), actual.get("metadata"))
            self.learn(recorded.get("object"), actual.get("object"))
            self._learn_address(recorded.get("spec"), actual.get("spec"))

    def _learn_address(self, recorded: Any, actual: Any) -> None:
        if isinstance(recorded, dict) and isinstance(actual, dict) and recorded.get("clusterIP"):
            self.words[recorded["clusterIP"]] = actual.get("clusterIP") or recorded["clusterIP"]

    def _learn_metadata(self, recorded: Any, actual: Any) -> None:
        if not isinstance(recorded, dict) or not isinstance(actual, dict):
            return
        for key in ("uid", "name", "continue"):
            one, other = recorded.get(key), actual.get(key)
            if one and other and one != other:
                self._bind(str(one), str(other))
        one, other = recorded.get("resourceVersion"), actual.get("resourceVersion")
        if str(one).isdecimal() and other:
            self.versions.setdefault(int(str(one)), str(other))

    def _learn_latest(self, recorded: Any, actual: Any) -> None:
        """A list tells that nothing was written since its version."""
        if isinstance(recorded, dict) and isinstance(actual, dict) and str(recorded.get("resourceVersion")).isdecimal():
            self.versions[int(recorded["resourceVersion"])] = str(actual.get("resourceVersion"))

    def _learn_items(self, recorded: Any, actual: Any) -> None:
        if not isinstance(recorded, list) or not isinstance(actual, list):
            return
        left = list(actual)
        for item in sorted(recorded, key=self._is_unknown):
            others = [other for other in left if _shape(item) == _shape(other)]
            if others:
                nearest = min(others, key=lambda other: self._distance(item, other))
                left.remove(nearest)
                self.learn(item, nearest)

    def _is_unknown(self, item: Any) -> bool:
        return _name(item) not in self.words

    def _distance(self, recorded: Any, actual: Any) -> float:
        """How unlike two objects are; an object that plays a recorded one already is the nearest to it."""
        if self.words.get(_name(recorded)) == _name(actual):
            return -1.0
        taken = _name(actual) in self.words.values()
        return len(differences({"items": [recorded]}, {"items": [actual]})) + (1000.0 if taken else 0.0)

    def _bind(self, recorded: str, actual: str) -> None:
        self.words[recorded] = actual
        if "<hash>-<rand>" in normalise.text(recorded):
            recorded, actual = recorded.rpartition("-")[0], actual.rpartition("-")[0]
            self.words.setdefault(recorded, actual)
        if normalise.text(recorded).endswith("<hash>"):
            self.words.setdefault(recorded.rpartition("-")[2], actual.rpartition("-")[2])

    def path(self, path: str) -> str:
        """A recorded path with the names of this run."""
        return "/".join(quote(self.word(unquote(part)), safe=":@!$&'()*+,;=~") for part in path.split("/"))

    def query(self, query: str) -> str:
        """A recorded query with the names and versions of this run."""
        renamed = []
        for pair in filter(None, query.split("&")):
            key, sign, value = pair.partition("=")
            if key == "resourceVersion":
                renamed.append(f"{key}={self.version(value)}")
            elif key == "continue" and unquote(value) not in self.words:
                renamed.append(f"{key}={self._older_token(unquote(value))}")
            elif key in ("fieldSelector", "labelSelector", "continue"):
                renamed.append(f"{key}={quote(self.text(unquote(value)), safe='')}")
            else:
                renamed.append(key + sign + value)
        return "&".join(renamed)

    def _older_token(self, token: str) -> str:
        """A token from before the recording: its version becomes one of here, the oldest when none corresponds."""
        try:
            decoded = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
            recorded = str(decoded["rv"])
        except (ValueError, KeyError, TypeError):
            return quote(token, safe="")
        version = self.version(recorded)
        decoded["rv"] = int(version if version != recorded or decoded["rv"] < 0 else "1")
        return base64.urlsafe_b64encode(json.dumps(decoded).encode()).decode().rstrip("=")

    def version(self, recorded: str) -> str:
        """The version here that corresponds to a recorded one; one that no answer gave stays as it is."""
        if not recorded.isdecimal() or not self.versions:
            return recorded
        wanted = int(recorded)
        if wanted in self.versions:
            return self.versions[wanted]
        known = sorted(self.versions)
        if not known[0] <= wanted <= known[-1] + 5000:
            return recorded
        return self.versions[max(version for version in known if version <= wanted)]

    def body(self, value: Any, key: str = "") -> Any:
        """A recorded body with the names and versions of this run."""
        if isinstance(value, dict):
            return {self.text(k): self.body(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [self.body(item, key) for item in value]
        if not isinstance(value, str):
            return value
        return self.version(value) if key == "resourceVersion" else self.text(value)

    def text(self, text: str) -> str:
        """Every known word of a text, replaced."""
        return _WORD.sub(lambda match: self.word(match[0]), text) if len(text) < 5000 else text

    def word(self, word: str) -> str:
        """One word; a generated name that is not known yet is given to the oldest object of that shape."""
        if word in self.words:
            return self.words[word]
        if word in self.identities and (found := self._uid(*self.identities[word])):
            self.words[word] = found
            return found
        if _HASH.fullmatch(word) and (found := self._hash()):
            self.words[word] = found
            return found
        shape = normalise.text(word)
        if "<hash>" in shape and (found := self._oldest_free(word, shape)):
            self._bind(word, found)
            return found
        return word

    def _uid(self, kind: str, recorded: str) -> str:
        """The uid here of an object that a recorded uid is known to be of."""
        name = self.word(recorded)
        return next(
            (
                str(versions[-1]["metadata"]["uid"])
                for (_, _, other), versions in self.observer.history.items()
                if other == name and versions[-1].get("kind") == kind
            ),
            "",
        )

    def _hash(self) -> str:
        """The oldest pod-template-hash that plays no recorded one yet."""
        taken = set(self.words.values())
        hashes = (
            (versions[-1]["metadata"].get("labels") or {}).get("pod-template-hash", "")
            for (resource, _, _), versions in self.observer.history.items()
            if resource == "replicasets"
        )
        return next((value for value in hashes if value and value not in taken), "")

    def _oldest_free(self, word: str, shape: str) -> str:
        """The oldest object of that shape that plays no recorded one yet; one that exists, if there is any."""
        taken = set(self.words.values())
        owner = self.words.get(word.rpartition("-")[0], "") if shape.endswith("<rand>") else ""
        free = [
            key
            for key in self.observer.history
            if key[2] not in taken and normalise.text(key[2]) == shape and key[2].startswith(owner)
        ]
        return next(iter(sorted(free, key=self._has_gone)), ("", "", ""))[2]

    def _has_gone(self, key: tuple[str, str, str]) -> bool:
        return self.observer.moments[key][-1][1] == "DELETED"


def identities(parts: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """Kind and name of the objects whose uids a recording shows anywhere.

    A reference with a uid that is not the one of the object of that name refers to nothing.
    """
    objects: dict[str, tuple[str, str]] = {}
    references: dict[str, tuple[str, str]] = {}
    for part in parts:
        for exchange in part.get("exchanges") or []:
            _identify(exchange["response"].get("body"), "", objects, references)
        for event in part.get("watch") or []:
            _identify(event["object"], "", objects, references)
    known = set(objects.values())
    return {**{uid: named for uid, named in references.items() if named not in known}, **objects}


def _identify(
    value: Any, kind: str, objects: dict[str, tuple[str, str]], references: dict[str, tuple[str, str]]
) -> None:
    if isinstance(value, list):
        for item in value:
            _identify(item, kind, objects, references)
    elif isinstance(value, dict):
        found = references if "kind" in value else objects  # metadata has no kind of its own
        kind = str(value.get("kind") or kind).removesuffix("List")
        if value.get("uid") and value.get("name"):
            found.setdefault(str(value["uid"]), (kind, str(value["name"])))
        for key, inner in value.items():
            if isinstance(inner, dict | list) and key not in ("fieldsV1", "spec"):
                _identify(inner, kind, objects, references)


def _name(item: Any) -> str:
    metadata = (item.get("object") or item).get("metadata") or {} if isinstance(item, dict) else {}
    return str(metadata.get("name"))


def _shape(item: Any) -> Any:
    metadata = (item.get("object") or item).get("metadata") or {} if isinstance(item, dict) else {}
    return metadata.get("namespace"), normalise.generated(str(metadata.get("name")))
