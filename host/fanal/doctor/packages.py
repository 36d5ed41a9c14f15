"""Python and the packages that Fanal needs, each in a release that it knows."""

import re
from typing import NamedTuple

from fanal.doctor.finding import Finding, bad, good, unchecked
from fanal.doctor.system import System

OLDEST_PYTHON = (3, 11)

# the extras that a technician's laptop has; for one that it can do without, who needs it
_EXTRAS = {
    "": "",
    "technician": "",
    "plot": "Only `fanal power --plot` and the report of the hardware suite need it:",
}
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(\[[^]]*\])?([^;]*)(?:;(.*))?")
_EXTRA = re.compile(r"extra *== *['\"]([A-Za-z0-9_-]+)['\"]")
_RELEASE = re.compile(r"\d+(\.\d+)*")
_SPECIFIER = re.compile(r"(==|>=|<=|!=|<|>|~=) *([A-Za-z0-9.!+*]+)")


class Requirement(NamedTuple):
    """specifiers: pairs such as (">=", "5.3"). extra: "" if it is always needed."""

    name: str
    specifiers: tuple[tuple[str, str], ...]
    extra: str


def python(system: System) -> Finding:
    """Check the interpreter."""
    version = ".".join(map(str, system.python))
    if system.python[:2] < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        return bad(
            "Python", f"{version} is too old", f"Install Python {oldest} or newer, and Fanal in it."
        )
    return good("Python", f"{version}, {system.executable}")


def packages(system: System) -> list[Finding]:
    """Check what Fanal requires, a row for each extra that a technician needs."""
    required = [requirement(text) for text in system.requirements()]
    if not required:
        return [
            bad("packages", "Fanal is not installed here as a package", "Install it in its folder:",
                f"{system.executable} -m pip install '.[technician]'")
        ]  # fmt: skip
    of_extra = {extra: [one for one in required if one.extra == extra] for extra in _EXTRAS}
    return [_extra(system, extra, wanted) for extra, wanted in of_extra.items() if wanted]


def requirement(text: str) -> Requirement:
    """Return one line of a package's metadata, such as `bleak<4,>=1.0; extra == "listener"`."""
    match = _REQUIREMENT.match(text.strip())
    name, _, specifiers, marker = match.groups() if match else (text, "", "", "")
    extra = _EXTRA.search(marker or "")
    pairs = tuple(_SPECIFIER.findall(specifiers or ""))
    return Requirement(name, pairs, extra.group(1) if extra else "")


def fits(version: str, specifiers: tuple[tuple[str, str], ...]) -> bool:
    """Say whether a release is one that is known to work."""
    return all(_fits(version, sign, limit) for sign, limit in specifiers)


def _extra(system: System, extra: str, wanted: list[Requirement]) -> Finding:
    name = extra or "packages"
    found = {one.name: system.package(one.name) for one in wanted}
    missing = sorted(name for name, version in found.items() if version is None)
    wrong = [
        f"{one.name} {version} (wanted {','.join(sign + limit for sign, limit in one.specifiers)})"
        for one in wanted
        if (version := found[one.name]) is not None and not fits(version, one.specifiers)
    ]
    if missing and not wrong and _EXTRAS[extra]:
        fix = f"{_EXTRAS[extra]} {system.executable} -m pip install 'fanal[{extra}]'"
        return unchecked(name, f"not installed: {', '.join(missing)}", fix)
    if missing or wrong:
        parts = [f"missing: {', '.join(missing)}"] * bool(missing)
        parts += [f"of another release: {', '.join(wrong)}"] * bool(wrong)
        whole = f"fanal[{extra}]" if extra else "fanal"
        return bad(
            name, "; ".join(parts), "Install them:", f"{system.executable} -m pip install '{whole}'"
        )
    if not extra:
        return good(name, f"{len(found)} that it always needs, each of a release that it knows")
    return good(name, ", ".join(f"{name} {version}" for name, version in sorted(found.items())))


def _fits(version: str, sign: str, limit: str) -> bool:
    found, bound = _numbers(version), _numbers(limit)
    if sign in ("==", "!="):
        is_same = (found, _after(version)) == (bound, _after(limit))
        return is_same is (sign == "==")
    return {
        ">=": found >= bound,
        "<=": found <= bound,
        ">": found > bound,
        "<": found < bound,
        "~=": found >= bound and found[: len(bound) - 1] == bound[:-1],
    }[sign]


def _numbers(version: str) -> tuple[int, ...]:
    """Return the release of a version, without zeros at its end: 1.0 is 1, and 1.006 is 1.6."""
    match = _RELEASE.match(version)
    numbers = [int(part) for part in match.group().split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _after(version: str) -> str:
    """Return what stands behind the release, such as "post2"; a leading separator says nothing."""
    return _RELEASE.sub("", version, count=1).lower().lstrip(".-_")
