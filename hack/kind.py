"""Taskfleet on a kind cluster of this machine: ``make kind``, or ``make kind-cluster`` for the cluster and image alone.

Needs docker, kind, kubectl and Helm, and nothing of this repository's Python. Run again it goes on from where it is:
the cluster that is there is used, and the release upgraded.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence

TOOLS = {
    "docker": "runs the cluster's nodes and builds the image: https://docs.docker.com/get-docker/",
    "kind": "makes the cluster: https://kind.sigs.k8s.io/docs/user/quick-start/#installation",
    "kubectl": "talks to the cluster: https://kubernetes.io/docs/tasks/tools/",
    "helm": "installs the chart, version 4: https://helm.sh/docs/intro/install/",
}
NAMESPACE = "taskfleet-system"
MINUTES = "10m"
LOOK_AT = """
Taskfleet runs in the kind cluster {cluster}. A task, and what comes of it:

  kubectl exec -n {namespace} deployment/taskfleet-controller -- taskfleet submit demo "Name three colours." --wait
  kubectl exec -i -n {namespace} deployment/taskfleet-controller -- taskfleet submit demo -f - < demo/reviews.jsonl
  kubectl get tq,wp,pods
  kubectl describe wp demo
  kubectl exec -n {namespace} deployment/taskfleet-controller -- taskfleet explain queue demo

Away with it: kind delete cluster --name {cluster}"""


class Failed(Exception):
    """What to tell the person at the terminal."""


def check_tools(names: Sequence[str]) -> None:
    missing = [f"{name} is not on the PATH; it {TOOLS[name]}" for name in names if not shutil.which(name)]
    if missing:
        raise Failed("\n".join(missing))
    answered = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False)
    if answered.returncode:
        last = (answered.stderr or answered.stdout).strip().splitlines()[-1:]
        raise Failed(f"docker does not answer: {' '.join(last)}; start it, or your user may not use it")


def run(*command: str) -> None:
    """Show a command and run it; what it prints goes to the terminal."""
    print(f"+ {' '.join(command)}", flush=True)
    code = subprocess.run(command, check=False).returncode
    if code:
        raise Failed(f"{command[0]} ended with {code}: {' '.join(command)}; what it said stands above")


def make_cluster(cluster: str, node_image: str) -> None:
    there = subprocess.run(["kind", "get", "clusters"], capture_output=True, text=True, check=False).stdout.split()
    if cluster in there:
        print(f"the cluster {cluster} is there already")
        run("kind", "export", "kubeconfig", "--name", cluster)
    else:
        run(
            "kind",
            "create",
            "cluster",
            "--name",
            cluster,
            "--wait",
            "2m",
            *(["--image", node_image] if node_image else []),
        )


def load_image(cluster: str, image: str) -> None:
    run("docker", "build", "--tag", image, ".")
    run("kind", "load", "docker-image", image, "--name", cluster)


def install(cluster: str, image: str) -> None:
    """The chart, a small model server, and the quickstart in front of it."""
    repository, _, tag = image.rpartition(":")
    context = f"kind-{cluster}"
    values = ("--set", f"image.repository={repository}", "--set-string", f"image.tag={tag}")
    where = ("--namespace", NAMESPACE, "--create-namespace", "--kube-context", context)
    run(
        "helm", "upgrade", "--install", "taskfleet", "charts/taskfleet", *where, *values, "--wait", "--timeout", MINUTES
    )
    kubectl = ("kubectl", "--context", context)
    run(*kubectl, "apply", "-f", "manifests/samples/llm.yaml", "-f", "manifests/quickstart/")
    print("the model server fetches its image and a model of 100 MB once ...")
    run(*kubectl, "rollout", "status", "deployment/llm", f"--timeout={MINUTES}")


def main(arguments: Sequence[str]) -> int:
    options = argparse.ArgumentParser(prog="make kind", description=__doc__.partition("\n")[0] if __doc__ else None)
    options.add_argument("--cluster", default="taskfleet", help="name of the kind cluster (default: taskfleet)")
    options.add_argument("--image", required=True, help="name of the image to build, as the chart shall have it")
    options.add_argument("--node-image", default="", help="kind's node image, for another Kubernetes than its own")
    options.add_argument("--cluster-only", action="store_true", help="make the cluster with the image in it, and stop")
    chosen = options.parse_args(arguments)
    try:
        check_tools(["docker", "kind"] if chosen.cluster_only else list(TOOLS))
        make_cluster(chosen.cluster, chosen.node_image)
        load_image(chosen.cluster, chosen.image)
        if not chosen.cluster_only:
            install(chosen.cluster, chosen.image)
            print(LOOK_AT.format(cluster=chosen.cluster, namespace=NAMESPACE))
    except Failed as told:
        print(told, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
