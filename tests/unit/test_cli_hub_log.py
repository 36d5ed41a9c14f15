"""`fanal hub log` at the command line, and the page on how to check a proof, for a hub's."""

import re

import pytest
from fanal import anchor
from fanal.hub import keys
from fanal.hub.store import Store

from tests.unit.paper_hub_log import sql
from tests.unit.test_cli_hub import PASSPHRASE, begun, enrolled, fanal, fleet, folder, quick, told
from tests.unit.test_cli_log import blocks, follow

__all__ = ["begun", "enrolled", "fanal", "fleet", "folder", "quick"]


@pytest.fixture
def hub(fanal, enrolled, tmp_path):
    """A hub with a fleet, and an account in its log."""
    (tmp_path / "password").write_text("correct horse battery\n")
    fanal("hub", "user", "add", "duty", "--password-file", tmp_path / "password")
    return fanal


def test_a_hub_tells_what_was_done(hub):
    entries = told(hub("hub", "log", "list", "--json"))["entries"]
    assert [one["what"] for one in entries] == [
        "log began", "enrolment accepted", "account added",
    ]  # fmt: skip
    assert (entries[2]["account"], entries[2]["who"]) == ("duty", "command line")
    assert told(hub("hub", "log", "list", "--from", 2, "--json"))["entries"] == entries[2:]
    shown = hub("hub", "log", "list").stdout
    assert "account" in shown
    assert "duty" in shown
    assert entries[1]["detail"].split()[1][:9] in shown


def test_verify_says_that_it_is_whole_and_what_it_cannot_see(hub, folder):
    result = hub("hub", "log", "verify", env={"FANAL_PASSPHRASE": ""})
    assert result.exit_code == 0
    assert "3 entries: nothing was altered" in result.stdout
    assert "3 of 3 entries of the hub's log are not signed yet" in result.stdout
    assert "no checkpoint outside of the hub" in result.stdout
    assert hub("hub", "log", "checkpoint").exit_code == 0
    assert "!" not in hub("hub", "log", "verify").stdout
    sql(folder, "UPDATE user SET role = 'officer'")
    result = hub("hub", "log", "verify")
    assert (result.exit_code, "Entry 2 says of account duty: role" in result.stdout) == (4, True)
    found = told(hub("hub", "log", "verify", "--json"), 4)
    assert (found["ok"], found["findings"][0]["entry"]) == (False, 2)


def test_an_older_copy_is_seen_by_what_is_kept_outside_and_handed_out(hub, folder, tmp_path):
    path, out = folder / "hub.db", tmp_path / "handed-out"
    yesterday = path.read_bytes()
    hub("hub", "user", "disable", "duty")
    signed = told(hub("hub", "log", "checkpoint", "--out", out, "--json"))
    assert (signed["size"], out.read_text()) == (4, signed["note"])
    path.write_bytes(yesterday)
    assert told(hub("hub", "log", "verify", "--json"), 4)["findings"][0]["code"] == "cut"
    assert told(hub("hub", "log", "checkpoint", "--json"), 4)["error"] == "cut"
    for kept in anchor.default_folder().iterdir():
        kept.unlink()
    assert told(hub("hub", "log", "verify", "--json"))["ok"]
    code = told(hub("hub", "log", "verify", "--checkpoint", out, "--json"), 4)
    assert code["findings"][0]["code"] == "cut"
    anchor.keep(anchor.default_folder(), out.read_text())
    assert hub("hub", "log", "checkpoint", "--restored").exit_code == 0
    whole = told(hub("hub", "log", "verify", "--checkpoint", out, "--json"))
    assert "1 entry was lost" in whole["remarks"][0]


def test_a_running_hub_signs_and_says_what_stands_in_the_way(hub, folder):
    from fanal.hub import config
    from fanal.hub.serve import Worker

    said = []
    with Store(config.load(folder).database) as store:
        held = keys.unlock(folder, PASSPHRASE)
        worker = Worker(store, config.load(folder), held, "one", said.append)
        worker.sign()
        hub("hub", "user", "disable", "duty")
        worker.close()
    assert (told(hub("hub", "log", "verify", "--json"))["logs"][0]["signed"], said) == (4, [])
    sql(folder, "DELETE FROM log_leaf WHERE number = 3")
    with Store(config.load(folder).database) as store:
        worker = Worker(store, config.load(folder), held, "one", said.append)
        worker.sign()
        worker.sign()
        worker.close()
    (line,) = said
    assert line.startswith("log: It is not signed: The hub has 3 entries in its log")


def test_a_hub_without_a_fleet_does_not_complain_of_its_log(fanal, begun, folder):
    from fanal.hub import config
    from fanal.hub.serve import Worker

    said = []
    with Store(config.load(folder).database) as store:
        worker = Worker(
            store, config.load(folder), keys.unlock(folder, PASSPHRASE), "one", said.append
        )
        worker.close()
    assert said == []
    assert told(fanal("hub", "log", "checkpoint", "--json"), 1)["error"] == "no_fleet"
    assert fanal("hub", "log", "verify").exit_code == 0


@pytest.mark.parametrize("entry", [0, 1, 2])
def test_the_page_checks_a_proof_of_a_hubs_log(hub, tmp_path, entry):
    work = tmp_path / "work"
    work.mkdir()
    out = work / "entry.tlog-proof"
    assert told(hub("hub", "log", "prove", entry, "--out", out, "--json"), 1)["error"] == (
        "not_signed"
    )
    hub("hub", "log", "checkpoint")
    told(hub("hub", "log", "prove", entry, "--out", out, "--json"))
    (script,) = blocks("python")
    (work / "check.py").write_text(script)
    done = follow(work)
    assert done.returncode == 0, done.stderr
    assert f"entry {entry} of the 3 that fanal/" in done.stdout
    assert "Signature Verified Successfully" in done.stdout
    assert "certificate-1.pem: OK" in done.stdout
    assert "fanal log" in done.stdout
    (name,) = re.findall(r"that fanal/(\w{8})/hub-\w{8} signed for:", done.stdout)
    assert done.stdout.splitlines()[-1].startswith(name)
    assert told(hub("hub", "log", "prove", 9, "--out", out, "--json"), 2)["error"] == "usage"
    text = out.read_text()
    out.write_text(text.replace("extra e", "extra f"))
    assert follow(work).returncode != 0
