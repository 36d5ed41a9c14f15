"""What a test measured: figures and series, on their way into the report."""

from collections.abc import Iterable
from typing import Any


class Figures:
    """The figures of one test. Times are noted, and judged only where a limit is given."""

    def __init__(self) -> None:
        self.noted: list[dict[str, Any]] = []
        self.series: dict[str, list[float]] = {}

    def note(
        self, name: str, value: float | str, unit: str = "", limit: float | None = None
    ) -> None:
        """Note a figure. Raises AssertionError if it is beyond its limit, after noting it."""
        self.noted.append({"name": name, "value": value, "unit": unit, "limit": limit})
        if limit is not None:
            assert float(value) <= limit, f"{name}: {value} {unit}, allowed are {limit}"

    def plot(self, name: str, values: Iterable[float]) -> None:
        """Add points to a series that the report plots."""
        self.series.setdefault(name, []).extend(float(value) for value in values)
