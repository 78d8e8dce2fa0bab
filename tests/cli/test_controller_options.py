"""What `taskfleet controller` refuses before it does anything."""

import pytest
from click.testing import CliRunner

from taskfleet.cli.controller import controller

WORKS = ["--store-url", "valkey://localhost:1", "--worker-image", "x"]


@pytest.mark.parametrize("lease", ["taskfleet", "a/b/c", "A/b", "a/", "/b"])
def test_a_lease_is_a_namespace_and_a_name(lease: str) -> None:
    refused = CliRunner().invoke(controller, [*WORKS, "--lease", lease])
    assert refused.exit_code == 2
    assert f"{lease!r} is not NAMESPACE/NAME" in refused.output
