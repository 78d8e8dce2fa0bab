"""What docs/guides/console.md says of where the console is."""

import re
from pathlib import Path

from tests.support.chart import NAMESPACE, of_kind, render

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs/guides/console.md").read_text()


def test_the_command_leads_to_the_charts_gateway() -> None:
    service = of_kind(render({"gateway": {"enabled": True, "keys": {"existingSecret": "keys"}}}), "Service", "-gateway")
    (command,) = re.findall(r"^kubectl .*$", GUIDE, re.MULTILINE)
    port = service["spec"]["ports"][0]["port"]
    assert command == f"kubectl -n {NAMESPACE} port-forward service/{service['metadata']['name']} {port}"


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", GUIDE)
    assert [link for link in links if not (ROOT / "docs/guides" / link).exists()] == []
