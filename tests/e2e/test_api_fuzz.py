"""Whatever fits the API's own description, or does not, is answered as the description says.

In process, logged in as an officer. The checks are schemathesis' own: no server error, a status, a
content type and a body that the description names, and 405 for methods that it does not.
"""

from concurrent.futures import Future

import pytest
import schemathesis
from fanal.envelope import EnvelopeError, Opener
from fanal.hub import sessions
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.unit.paper_incidents import a_situation
from tests.unit.paper_web import PaperWeb

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance,
    response_headers_conformance, response_schema_conformance, unsupported_method,
    allow_header_conformance,
]  # fmt: skip
EXAMPLES = 40  # of each operation
OPERATIONS = 12  # and the two that need no login


class OpeningIntake:
    """Opens what comes, as the inbox does, and keeps nothing."""

    def __init__(self):
        self._opener = Opener(bytes(range(32)))

    def submit(self, data, source):
        future = Future()
        try:
            future.set_result(self._opener.delivery(data))
        except EnvelopeError as refused:
            future.set_exception(refused)
        return future


@pytest.fixture
def web(tmp_path):
    web = PaperWeb(tmp_path, "[limits]\naddress_deliveries = 1000000\n")
    object.__setattr__(web.hub, "intake", OpeningIntake())
    return web


def test_the_api_does_what_its_description_says(web):
    made = a_situation(web.store)
    session = sessions.begin(web.store, web.users["chief"])
    login = {"cookie": f"fanal={session.token}", "x-csrf-token": session.csrf}
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", web.app, headers=login)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) == OPERATIONS + 2
    statuses = set()
    for operation in operations:

        @given(
            case=operation.as_strategy() | operation.as_strategy(GenerationMode.NEGATIVE),
            number=st.sampled_from([None, *made.values()]),
        )
        @settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
                  suppress_health_check=list(HealthCheck))  # fmt: skip
        def fuzz(case, number):
            if number is not None and "number" in case.path_parameters:
                case.path_parameters["number"] = number
            answer = case.call(headers=login)
            statuses.add(answer.status_code)
            case.validate_response(answer, checks=CHECKS)

        fuzz()
    # it would prove nothing if all were sent away at the door
    assert {200, 400, 404, 409, 422} <= statuses
    assert not statuses & {401, 403}
