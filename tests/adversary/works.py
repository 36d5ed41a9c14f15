"""Every command of the command line: how it is killed, or why it need not be."""

from dataclasses import dataclass, field

OPENS = ("--passphrase-file", "@passphrase")
HUB_OPENS = ("--passphrase-file", "@of-hub")


@dataclass(frozen=True)
class Work:
    """One command that writes. words: `@name` is a file of the person's own, HER and FIRST are
    filled in. more: how many rows its repetition may add to which tables."""

    words: tuple[str, ...]
    more: dict = field(default_factory=dict)


def _fleet(folder, *words, **more):
    return Work(("--fleet", folder, *words), **more)


_LOGGED = {"log_leaf": 1, "log_node": 64}
_SIGNED = {**_LOGGED, "log_checkpoint": 1}
_ACTED = {"action": 1, "notice": 1, **_LOGGED}

WRITES = {
    "fleet init": _fleet("new", "fleet", "init", *OPENS),
    "fleet officers add": _fleet("office", "fleet", "officers", "add", "HIM", *OPENS),
    "fleet officers remove": _fleet("office", "fleet", "officers", "remove", "HER", "--yes",
                                    "--new-passphrase-file", "@new-passphrase", *OPENS),
    "fleet backup": _fleet("office", "fleet", "backup", "--out", "b", "--backup-passphrase-file",
                           "@of-backup", *OPENS),
    "fleet backup --shares": _fleet("office", "fleet", "backup", "--out", "b", "--shares", "2/3",
                                    "--words-file", "@new-words", *OPENS),
    "fleet restore": _fleet("new", "fleet", "restore", "one.backup", "--backup-passphrase-file",
                            "@of-backup", "--passphrase-file", "@new-passphrase"),
    "fleet restore --shares": _fleet("new", "fleet", "restore", "two.backup", "--words-file",
                                     "@words", "--passphrase-file", "@new-passphrase"),
    "station request": _fleet("new", "station", "request", *OPENS),
    "station create": _fleet("office", "station", "create", "--to", "laptop.line", "--number", "3",
                             "--out", "s3", "--yes", *OPENS),
    "station join": _fleet("laptop", "station", "join", "laptop.age", "--yes", *OPENS),
    "station revoke": _fleet("office", "station", "revoke", "4", "--reason", "stolen"),
    "registry export": _fleet("office", "registry", "export", "--out", "out.json", *OPENS,
                              more=_SIGNED),
    "registry export --csv": _fleet("office", "registry", "export", "--out", "out.csv", "--format",
                                    "csv", *OPENS, more=_SIGNED),
    "registry export --seal": _fleet("north", "registry", "export", "--out", "n.age", *OPENS,
                                     more=_SIGNED),
    "registry import": _fleet("new", "registry", "import", "office.json"),
    "registry merge": _fleet("office", "registry", "merge", "north.json", *OPENS),
    "reassign": _fleet("office", "reassign", "FIRST", "--site", "shelter-4", "--place", "hall"),
    "revoke": _fleet("office", "revoke", "FIRST", "--reason", "stolen", "--yes"),
    "retire": _fleet("office", "retire", "FIRST", "--without-board", "--yes"),
    "log checkpoint": _fleet("office", "log", "checkpoint", "--out", "note", *OPENS),
    "log prove": _fleet("office", "log", "prove", "3", "--out", "proof"),
    "label": _fleet("office", "label", "--all", "--format", "avery-l7160", "--out", "labels.pdf"),
    "volunteer bundle": _fleet("office", "volunteer", "bundle", "--area", "Port", "--relay",
                               "https://hub.example", "--out", "h.fanal", *OPENS),
    "volunteer unit": Work(("volunteer", "unit", "--bundle", "east.fanal", "--out", "v.service")),
    "image add": Work(("image", "add", "image.bin")),
    "support": _fleet("office", "support", "--out", "help.zip"),
    "power": Work(("power", "--plot", "life.png")),
    "hub init": Work(("hub", "--hub", "hub2", "init", *HUB_OPENS)),
    "hub enrol": _fleet("office", "hub", "enrol", "--to", "hub.line", "--out", "e.age", "--yes",
                        *OPENS, more=_LOGGED),
    "hub accept": Work(("hub", "accept", "second.age", *HUB_OPENS)),
    "hub log checkpoint": Work(("hub", "log", "checkpoint", "--out", "note", *HUB_OPENS)),
    "hub log prove": Work(("hub", "log", "prove", "1", "--out", "proof")),
    "hub listener enrol": Work(("hub", "listener", "enrol", "LISTENER", "--name", "east gate",
                                "--as", "chief")),
    "hub listener forget": Work(("hub", "listener", "forget", "LISTENER")),
    "hub listener place": Work(("hub", "listener", "place", "KITCHEN", "--at", "52.5,13.3,20")),
    "hub site set": Work(("hub", "site", "set", "shelter-3", "--at", "52.5,13.3,20")),
    "hub unit": Work(("hub", "unit", "--passphrase-file", "/etc/p", "--out", "h.service")),
    "hub user add": Work(("hub", "user", "add", "duty", "--password-file", "@password")),
    "hub user disable": Work(("hub", "user", "disable", "chief")),
    "hub user enable": Work(("hub", "user", "enable", "chief")),
    "hub user password": Work(("hub", "user", "password", "chief", "--password-file", "@password"),
                              _LOGGED),
    "hub user role": Work(("hub", "user", "role", "chief", "officer")),
    "incident acknowledge": Work(("incident", "acknowledge", "1", "--as", "chief"), _ACTED),
    "incident assign": Work(("incident", "assign", "1", "night", "--as", "chief"), _ACTED),
    "incident close": Work(("incident", "close", "1", "--as", "chief", "--reason", "other",
                            "--text", "done"), _ACTED),
    "incident note": Work(("incident", "note", "1", "police informed", "--as", "chief"), _ACTED),
    "incident reopen": Work(("incident", "reopen", "2", "--as", "chief", "--reason", "again"),
                            _ACTED),
    "incident export": Work(("incident", "export", "1", "--out", "i.json"), _LOGGED),
}  # fmt: skip

# with a board at PORT, which has its identity already unless it is to get one
ON_BOARDS = {
    "provision": ("--fleet", "office", "provision", "--port", "PORT", "--site", "s9", *OPENS),
    "retire": ("--fleet", "office", "retire", "--port", "PORT", "--yes"),
    "verify": ("--fleet", "office", "verify", "--port", "PORT", "--junit", "v.xml", *OPENS),
}  # fmt: skip

# while the first beacon of the office is on air
LISTEN = _fleet("office", "listen", "--air", "AIR", "--until", "alert", "--seconds", "20", *OPENS)

_SHOWS = "it only shows what is there"
_WORLD = "it speaks to the virtual bench, which keeps nothing"

# why each of the others is not killed here
OTHERS = {
    **dict.fromkeys(
        ("fleet show", "fleet officers list", "station list", "ports", "doctor", "image list",
         "list", "history", "volunteer show", "hub listener list", "hub site list", "hub user list",
         "incident list", "incident show", "decode", "log list", "log verify",
         "hub log list", "hub log verify"), _SHOWS),
    **dict.fromkeys(("flash", "deploy"), "tests/sim/test_deploy.py kills it"),
    "drill": "it speaks to a board, and writes nothing here",
    "hub run": "a server: tests/e2e/test_hub_chaos.py kills it",
    "image get": "it downloads; what it keeps is kept as by `image add`",
    "log timestamp": "it asks an authority; what it writes is written as by `log checkpoint`",
    "demo": "a story in a folder that it throws away",
    **dict.fromkeys(
        ("sim battery", "sim boards add", "sim boot-button", "sim cut", "sim duplicate",
         "sim fault", "sim forge", "sim images", "sim loss", "sim plug", "sim power", "sim record",
         "sim replay", "sim reset", "sim squeeze", "sim start", "sim status", "sim unplug"),
        _WORLD),
}  # fmt: skip
