"""What was found while a log is verified: the first ones of it, and where it begins."""

from fanal.log_record import Finding

MOST_FINDINGS = 200

_LOCATED = ("edited", "missing", "nodes")


class Findings:
    """A list that does not grow without bound, whatever was done to a file."""

    def __init__(self) -> None:
        self.first: list[Finding] = []
        self._begins: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self.first)

    def add(self, code: str, sentence: str, log: str = "", entry: int | None = None) -> None:
        """Take a finding. code and the others: as in `Finding`."""
        if len(self.first) < MOST_FINDINGS:
            self.first.append(Finding(code, sentence, log, entry))
        if code in _LOCATED and entry is not None:
            self._begins[log] = min(entry, self._begins.get(log, entry))

    def begins_before(self, log: str, size: int) -> bool:
        """Say whether it was told already where something in the first `size` entries is wrong."""
        return self._begins.get(log, size) < size
