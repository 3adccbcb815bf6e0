"""The session says what the naive twin says, to the last bit, and accounts for everything (laws 1, 5, 6)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.laws.against_twin import Against
from tests.laws.stories import LAW, LAWS, USERS, log_of, pipeline, randomly, sent, told, twin_of, whole
from tests.streams import streams


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", LAW)
def test_a_long_stream_agrees_with_the_twin(name: str, seed: int) -> None:
    log = log_of(name, seed)
    steps = whole(log) if seed % 2 else randomly(log, seed)
    Against(told(pipeline(name), steps), twin_of(pipeline(name), log)).check()


@pytest.mark.parametrize("name", USERS)
def test_the_pipelines_of_users_agree_with_the_twin(name: str) -> None:
    log = log_of(name, 5, 150)
    Against(told(pipeline(name), randomly(log, 5, 0.05)), twin_of(pipeline(name), log)).check()


@pytest.mark.parametrize("name", LAW)
@given(data=st.data())
@LAWS
def test_generated_streams_agree_with_the_twin(name: str, data: st.DataObject) -> None:
    log = sent(data.draw(streams(pipeline(name), 30)))
    Against(told(pipeline(name), whole(log)), twin_of(pipeline(name), log)).check()
