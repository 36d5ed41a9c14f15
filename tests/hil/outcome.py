"""What a test of the suite can come to: the beacon's fault, or the rig's.

A beacon that does the wrong thing is FAIL. A dead cable, a busy port, a radio that hears nothing
at all is INFRA: it says nothing about the beacon, and ends the tests of that beacon once.
"""

from fanal.error import DeviceError, EnvironmentFault, FanalError

PASS, FAIL, INFRA, SKIP = "PASS", "FAIL", "INFRA", "SKIP"
# a test of a beacon whose rig had failed before: it was never asked anything
UNTRIED = "INFRA-SKIP"
INFRA_EXIT_CODE = EnvironmentFault.exit_code

UNTRIED_PREFIX = "INFRA: "

# what the library says when it is the line, the port or what is at its end that is wrong
_LINE_CODES = frozenset(
    ("no_port", "unplugged", "silent", "no_answer", "garbage", "other_board", "nothing_to_run",
     "not_fanal", "lost")
)  # fmt: skip


class Infra(Exception):
    """The rig failed, not the beacon. reason: one sentence; radio: only the ears are concerned."""

    def __init__(self, reason: str, *, radio: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.radio = radio


def as_infra(problem: BaseException) -> Infra | None:
    """Return the fault of the rig that an exception stands for, None if it is the beacon's."""
    if isinstance(problem, Infra):
        return problem
    if not isinstance(problem, FanalError):
        return None
    is_line = isinstance(problem, DeviceError) and problem.code in _LINE_CODES
    if not is_line and not isinstance(problem, EnvironmentFault):
        return None
    sentence = f"{problem.sentence} {problem.hint}".strip()
    return Infra(sentence, radio=problem.code == "radio")
