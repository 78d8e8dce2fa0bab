"""The offline validation says of every broken manifest what a real API server said, at the right line."""

from pathlib import Path

import pytest

from taskfleet.api.manifests import load
from taskfleet.core.errors import InvalidManifest
from tests.support.brokenmanifests import BROKEN, GOOD, expected

EXPECTED = expected()


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_a_broken_manifest_is_refused_with_line_field_and_fix(path: Path) -> None:
    with pytest.raises(InvalidManifest) as refused:
        load([path])
    lines = str(refused.value).splitlines()
    assert [line.removeprefix(f"{path}:") for line in lines] == EXPECTED[path.name]


def test_the_table_speaks_of_every_file_and_of_no_other() -> None:
    assert sorted(EXPECTED) == sorted(path.name for path in BROKEN)
    assert all(EXPECTED.values())


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_a_good_manifest_is_accepted(path: Path) -> None:
    found = load([path])
    assert found.queues or found.pools or found.parallel
