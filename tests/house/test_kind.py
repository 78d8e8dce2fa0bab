"""`make kind`: what it asks of docker, kind, helm and kubectl, and what it says when one of them is not there or fails.

The tools here write down how they were called; that the chart takes the values is the chart's tests' affair.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = """#!/bin/sh
echo "$(basename "$0") $*" >> "$(dirname "$0")/calls"
case "$(basename "$0") $*" in {answers} esac
"""


def tools(folder: Path, *names: str, answers: str = "") -> None:
    for name in names:
        tool = folder / name
        tool.write_text(TOOL.format(answers=answers))
        tool.chmod(0o755)


def make_kind(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "sh").symlink_to("/bin/sh")
    for name in ("basename", "dirname"):
        (folder / name).symlink_to(Path("/usr/bin") / name)
    command = [sys.executable, "hack/kind.py", "--image", "registry.example/taskfleet:1.0", *arguments]
    return subprocess.run(command, cwd=ROOT, env={"PATH": str(folder)}, capture_output=True, text=True, check=False)


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines()


def test_the_tools_that_are_missing_are_all_named_with_where_to_get_them(tmp_path: Path) -> None:
    tools(tmp_path, "kubectl")
    told = make_kind(tmp_path)
    assert told.returncode == 1
    assert told.stderr.splitlines() == [
        "docker is not on the PATH; it runs the cluster's nodes and builds the image: https://docs.docker.com/get-docker/",
        "kind is not on the PATH; it makes the cluster: https://kind.sigs.k8s.io/docs/user/quick-start/#installation",
        "helm is not on the PATH; it installs the chart, version 4: https://helm.sh/docs/intro/install/",
    ]


def test_a_docker_that_does_not_answer_is_told_of_before_anything_is_made(tmp_path: Path) -> None:
    tools(tmp_path, "docker", "kind", "helm", "kubectl", answers="docker*) echo no daemon >&2; exit 1;;")
    told = make_kind(tmp_path)
    assert (told.returncode, calls(tmp_path)) == (1, ["docker info"])
    assert told.stderr == "docker does not answer: no daemon; start it, or your user may not use it\n"


def test_it_makes_a_cluster_with_the_image_the_chart_and_the_quickstart_and_says_what_to_look_at(
    tmp_path: Path,
) -> None:
    tools(tmp_path, "docker", "kind", "helm", "kubectl")
    made = make_kind(tmp_path, "--node-image", "kindest/node:v1.36.4")
    assert (made.returncode, made.stderr) == (0, "")
    assert [call.split(" --")[0] for call in calls(tmp_path)] == [
        "docker info",
        "kind get clusters",
        "kind create cluster",
        "docker build",
        "kind load docker-image registry.example/taskfleet:1.0",
        "helm upgrade",
        "kubectl",
        "kubectl",
    ]
    assert "--image kindest/node:v1.36.4" in calls(tmp_path)[2]
    assert "image.repository=registry.example/taskfleet --set-string image.tag=1.0" in calls(tmp_path)[5]
    assert "--context kind-taskfleet apply -f manifests/samples/llm.yaml -f manifests/quickstart/" in calls(tmp_path)[6]
    assert "kubectl get tq,wp,pods" in made.stdout
    assert "kind delete cluster --name taskfleet" in made.stdout


def test_a_cluster_that_is_there_is_used_and_for_the_tests_nothing_is_installed(tmp_path: Path) -> None:
    tools(tmp_path, "docker", "kind", answers="'kind get'*) echo taskfleet;;")
    assert make_kind(tmp_path, "--cluster-only").returncode == 0
    assert not [call for call in calls(tmp_path) if "create" in call]
    assert calls(tmp_path)[-1].startswith("kind load docker-image")


@pytest.mark.parametrize("fails", ["kind create", "docker build", "helm upgrade", "kubectl"])
def test_a_step_that_fails_ends_it_with_its_command(tmp_path: Path, fails: str) -> None:
    tools(tmp_path, "docker", "kind", "helm", "kubectl", answers=f"'{fails}'*) exit 3;;")
    told = make_kind(tmp_path)
    assert told.returncode == 1
    assert told.stderr.startswith(f"{fails.split()[0]} ended with 3: {fails}")
    assert calls(tmp_path)[-1].startswith(fails)
