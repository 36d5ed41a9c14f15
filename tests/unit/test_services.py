"""The services that tests start are real, and can be killed and started again."""

import psycopg
from fanal.hub.store import Store


def test_a_killed_broker_comes_back_at_its_port(mosquitto):
    port = mosquitto.port
    mosquitto.kill()
    mosquitto.start()
    assert mosquitto.port == port


def test_a_database_is_empty_and_ones_own(postgres_url):
    with Store(postgres_url) as store:
        assert store.change() == 0
        with store.writing(shows=True):
            pass
        assert store.change() == 1


def test_the_next_test_has_another_database(postgres_url):
    with Store(postgres_url) as store:
        assert store.change() == 0


def test_what_was_committed_survives_a_crash_of_the_database(postgres, postgres_url):
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE kept (value int)")
        connection.execute("INSERT INTO kept VALUES (7)")
    postgres.kill()
    postgres.start()
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT value FROM kept").fetchone() == (7,)
