"""A technician attaches in the middle of an event: it pauses, and goes on as the same event."""

import pytest

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal.sim.clock import run_virtual

from tests.sim import whole_life
from tests.sim.whole_life import attached, beacon

pytestmark = pytest.mark.sim


@pytest.fixture(scope="module", autouse=True)
def _images(tmp_path_factory):
    with whole_life.keep_images(tmp_path_factory.mktemp("images")):
        yield


async def _attach_twice(away_s):
    async with beacon({"event_s": 3600, "alert_s": 3600}) as made:
        await made.run(1)
        await made.hold(5)
        for _ in range(2):
            wire = await attached(made)
            assert (await wire.call("status"))["event"]["n"] == 1
            silent_since = len(made.witness.heard)
            await made.run(away_s)
            assert len(made.witness.heard) == silent_since
            wire.say("leave")
            await made.run(5)
            assert len(made.witness.heard) > silent_since
        # the same event, no resumption, and its clock did not stop while it was silent
        assert {heard.n for heard in made.witness.heard} == {1}
        assert {alert.plain.status for alert in made.witness.alerts(1)} == {0x20}
        first, last = made.witness.alerts(1)[0], made.witness.alerts(1)[-1]
        assert abs((last.t_ms - first.t_ms) / 1000 - _age_s(last) + _age_s(first)) < 4


def _age_s(heard):
    return 900 * heard.slot + 2 * heard.seq


@pytest.mark.parametrize("away_s", [1, 250])
def test_the_event_goes_on_when_the_console_is_left(away_s):
    run_virtual(_attach_twice(away_s))


async def _abandon():
    async with beacon({"event_s": 3600, "alert_s": 3600}) as made:
        await made.run(1)
        await made.hold(5)
        await attached(made)
        made.witness.causes = 1
        await made.run(310)  # nobody leaves: the guard bites
        assert {heard.n for heard in made.witness.heard} == {1, 2}
        assert made.witness.alerts(2)[0].plain.status == 0x22


def test_a_console_that_is_never_left_is_a_resumption():
    run_virtual(_abandon())
