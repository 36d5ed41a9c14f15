"""What can go wrong, said once: one sentence of what happened, one of what to do next.

Exit codes are part of the interface of the `fanal` command: 0 fine, 1 the operation
failed, 2 usage, 3 no device or the wrong one, 4 signature or integrity, 5 read-back
differs, 6 part of a batch failed, 7 the environment, 130 interrupted.
"""

from pathlib import Path

INTERRUPTED = 130


class FanalError(Exception):
    """Anything a person has to be told about.

    sentence: what happened. hint: what to do next, or "". exit_code: of the process.
    code: a stable word for programs. port: the serial port concerned, if any.
    None of them ever holds a secret.
    """

    exit_code = 1
    code = "failed"

    def __init__(
        self,
        sentence: str,
        hint: str = "",
        exit_code: int | None = None,
        *,
        code: str | None = None,
        port: str | None = None,
    ) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint
        self.port = port
        if exit_code is not None:
            self.exit_code = exit_code
        if code is not None:
            self.code = code


class UsageError(FanalError):
    """The command was asked for something that makes no sense."""

    exit_code = 2
    code = "usage"


class DeviceError(FanalError):
    """No device, the wrong one, or one that stopped answering."""

    exit_code = 3
    code = "device"


class BoardLost(DeviceError):
    """The board stopped answering, or something else than a beacon answers."""

    code = "lost"


class BoardRefused(FanalError):
    """The board understood, and said no. code: its console's word for the reason."""

    code = "refused"


class IntegrityError(FanalError):
    """A signature, a tag, a passphrase or a certificate does not fit."""

    exit_code = 4
    code = "integrity"


class ReadBackError(FanalError):
    """What was read back is not what was written."""

    exit_code = 5
    code = "read_back"


class BatchError(FanalError):
    """Part of a batch failed."""

    exit_code = 6
    code = "batch"


class EnvironmentFault(FanalError):
    """The machine, not the beacon: a permission, a driver, a missing package, a radio."""

    exit_code = 7
    code = "environment"


# what a device error says of the cable, the port or a hand, and not of the board
_INFRA = ("no_port", "no_rom", "no_answer", "other_board", "several_ports")


def is_infra(problem: BaseException) -> bool:
    """Say whether a failure is one of cable, port or computer, and proves nothing of a board."""
    if isinstance(problem, (BoardLost, EnvironmentFault)):
        return True
    return isinstance(problem, FanalError) and problem.code in _INFRA


def damaged(path: Path) -> IntegrityError:
    """Return the error for a file of a fleet or a hub that is not what it was."""
    return IntegrityError(f"{path} is damaged.", "Take it from your backup.", code="damaged")


def no_fleet(path: Path) -> FanalError:
    """Return the error for a fleet's file that is not there: the others tell loss from absence."""
    if (path.parent / "request.age").exists():
        return FanalError(
            f"The laptop of {path.parent} has asked to be a station, and was not answered yet.",
            "When the officer has sent the file: `fanal station join FILE`",
            code="not_joined",
        )
    if any((path.parent / name).exists() for name in ("key.age", "registry.db")):
        return IntegrityError(
            f"{path} is missing.",
            "Take it from your backup, or name another fleet's folder with --fleet DIR.",
            code="missing",
        )
    return FanalError(
        f"There is no fleet in {path.parent}.",
        "Create one (`fanal fleet init`), make this laptop a station of one"
        " (`fanal station request`), or name its folder with --fleet DIR.",
        code="no_fleet",
    )
