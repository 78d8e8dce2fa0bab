"""The stub model server leaves nothing behind that would be blamed on a later test."""

import asyncio
import gc
import socket
import warnings

import pytest

from tests.support.modelstub import ModelStub


@pytest.mark.parametrize("turns", range(5))
async def test_a_stub_that_stops_loses_no_connection_however_far_it_has_come(turns: int) -> None:
    stub = await ModelStub().start()
    with socket.create_connection((stub.host, stub.port)):
        for _ in range(turns):
            await asyncio.sleep(0)
    await stub.stop()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        gc.collect()
    assert [str(warning.message) for warning in told] == []
