"""A real server of S3's protocol for tests: rclone, which checks signatures and keeps buckets as folders."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.valkeyserver import free_port
from tests.support.waiting import wait_until

KEY, SECRET = "tests", "a-secret-of-the-tests"


@dataclass(frozen=True, slots=True)
class S3Server:
    """``folder`` has a folder for each bucket."""

    url: str
    folder: Path
    process: "subprocess.Popen[bytes]"

    @property
    def environment(self) -> dict[str, str]:
        """What AWS's tools, and ours, are told by."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }


@contextmanager
def running_s3(folder: Path) -> Iterator[S3Server]:
    """It has one bucket, ``batches``."""
    (folder / "batches").mkdir()
    program = Path(sys.executable).with_name("rclone")
    place = f"127.0.0.1:{free_port()}"
    log = folder.with_suffix(".log")
    command = [str(program), "serve", "s3", "--addr", place, "--auth-key", f"{KEY},{SECRET}", str(folder)]
    quiet = {"RCLONE_CONFIG": "", "HOME": str(folder), "PATH": os.environ["PATH"]}
    with log.open("wb") as stream, subprocess.Popen(command, stderr=stream, env=quiet) as process:
        try:
            wait_until(lambda: b"Starting s3 server" in log.read_bytes(), "the S3 server to start", timeout=30)
            yield S3Server(f"http://{place}", folder, process)
        finally:
            process.kill()
