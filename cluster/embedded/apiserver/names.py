"""Names, labels and their rules (RFC 1123 and the Kubernetes API conventions), with the server's messages."""

from __future__ import annotations

import random
import re
from typing import Any

_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX_LENGTH = 5
_LONGEST_GENERATED = 63
_RANDOM = random.SystemRandom()

_LABEL_FORMAT = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_FORMAT = _LABEL_FORMAT + r"(\." + _LABEL_FORMAT + ")*"
_QUALIFIED_FORMAT = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE_FORMAT = f"({_QUALIFIED_FORMAT})?"
_LABEL = re.compile(_LABEL_FORMAT)
_SUBDOMAIN = re.compile(_SUBDOMAIN_FORMAT)
_QUALIFIED = re.compile(_QUALIFIED_FORMAT)
_VALUE = re.compile(_VALUE_FORMAT)
_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_ENV_NAME = re.compile(r"[ -<>-~]+")

_BAD_LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must "
    "start and end "
    f"with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    f"'{_LABEL_FORMAT}')"
)
_BAD_SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start "
    f"and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    f"'{_SUBDOMAIN_FORMAT}')"
)
_BAD_QUALIFIED = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    f"alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    f"validation is '{_QUALIFIED_FORMAT}')"
)
_BAD_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start "
    "and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex "
    "used for validation is "
    f"'{_VALUE_FORMAT}')"
)
_BAD_CONFIG_KEY = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  "
    "or 'KEY_NAME',  "
    "or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_BAD_ENV_NAME = "a valid environment variable name must consist only of printable ASCII characters other than '='"


def shown_name(obj: dict[str, Any]) -> str:
    """How a refusal names a new object that has not got its name yet."""
    metadata = obj["metadata"]
    return str(metadata.get("name") or metadata.get("generateName", ""))


def generate(prefix: str) -> str:
    """A name from a ``generateName``: the prefix, shortened if need be, and five random letters."""
    suffix = "".join(_RANDOM.choices(_SUFFIX_LETTERS, k=_SUFFIX_LENGTH))
    return prefix[: _LONGEST_GENERATED - _SUFFIX_LENGTH] + suffix


def label_problem(name: str) -> str:
    """What is wrong with a DNS label, such as a Service's name; empty when nothing is."""
    if len(name) > 63:
        return "must be no more than 63 characters"
    return "" if _LABEL.fullmatch(name) else _BAD_LABEL


def subdomain_problem(name: str) -> str:
    """What is wrong with a DNS subdomain, such as a Pod's name; empty when nothing is."""
    if len(name) > 253:
        return "must be no more than 253 characters"
    return "" if _SUBDOMAIN.fullmatch(name) else _BAD_SUBDOMAIN


def path_segment_problem(name: str) -> str:
    """What is wrong with a name that may be anything but a path, such as a Role's."""
    if name in (".", ".."):
        return f"may not be '{name}'"
    bad = next((letter for letter in "/%" if letter in name), "")
    return f"may not contain '{bad}'" if bad else ""


def qualified_name_problems(name: str) -> list[str]:
    """What is wrong with a label key, a finalizer or a resource name."""
    prefix, slash, rest = name.rpartition("/")
    problems = []
    if slash and not prefix:
        return ["prefix part must be non-empty"]
    if slash and (problem := subdomain_problem(prefix)):
        problems.append(f"prefix part {problem}")
    if not rest:
        problems.append("name part must be non-empty")
    elif len(rest) > 63:
        problems.append("name part must be no more than 63 bytes")
    if not _QUALIFIED.fullmatch(rest):
        problems.append(_BAD_QUALIFIED)
    return problems


def label_value_problem(value: str) -> str:
    """What is wrong with the value of a label; empty when nothing is."""
    if len(value) > 63:
        return "must be no more than 63 bytes"
    return "" if _VALUE.fullmatch(value) else _BAD_VALUE


def config_key_problem(key: str) -> str:
    """What is wrong with a key of a ConfigMap or Secret; empty when nothing is."""
    if len(key) > 253:
        return "must be no more than 253 characters"
    return "" if _CONFIG_KEY.fullmatch(key) else _BAD_CONFIG_KEY


def env_name_problem(name: str) -> str:
    """What is wrong with the name of an environment variable; empty when nothing is."""
    return "" if _ENV_NAME.fullmatch(name) else _BAD_ENV_NAME
