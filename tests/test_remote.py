"""A clone on another machine: push to a real S3 server, pull a tag's artefacts, find damage.

The project exports two real GGUF files of a tiny checkpoint, by the same code as the pipeline.
The server is rclone's, on the loopback interface, over a folder that the test can damage.
"""

import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from potstill import runtime

from tests import tiny_project
from tests.tiny_project import call

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

KEY, SECRET = "potstill-tests", "potstill-secret0"  # rclone's server refuses short keys
BUCKET = "potstill"
START_S = 15


class Project(NamedTuple):
    """A project whose pipeline has run and is committed, and one artefact in it."""

    folder: Path
    artefact: str
    largest: str  # a file of the artefact


@pytest.fixture(scope="module")
def project(tiny_llama, tmp_path_factory):
    folder = tiny_project.make(tmp_path_factory.mktemp("tiny") / "project", tiny_llama)
    artefact = "models/artefacts/q8"
    return Project(folder, artefact, f"{artefact}/model.gguf")


class Server:
    """rclone's S3 server over a folder, on one free port of the loopback interface."""

    def __init__(self, folder):
        (folder / BUCKET).mkdir(parents=True)
        self.folder, self.log = folder, folder.with_name("rclone.log")
        self.process = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = "{}:{}".format(*free.getsockname())

    def start(self):
        rclone = Path(sys.executable).with_name("rclone")
        options = ["--auth-key", f"{KEY},{SECRET}", "--addr", self.address, "--config", os.devnull]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [rclone, "serve", "s3", *options, str(self.folder)], stdout=log, stderr=log
            )
        end = time.monotonic() + START_S
        host, port = self.address.split(":")
        while True:
            with socket.socket() as probe:
                if not probe.connect_ex((host, int(port))):
                    return
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, f"no server: {self.log.read_text()}"
            time.sleep(0.05)

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait(10)


@pytest.fixture(scope="module")
def remote(project, tmp_path_factory):
    """The project pushed and tagged; yields the server, which is stopped in any case."""
    server = Server(tmp_path_factory.mktemp("s3") / "store")
    folder = project.folder
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop)
        server.start()
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("AWS_ACCESS_KEY_ID", KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "HTTP_PROXY", "http_proxy"):
            patch.delenv(name, raising=False)
        call(folder, "dvc", "remote", "add", "-f", "-d", "s3", f"s3://{BUCKET}/dvc")
        options = {
            "endpointurl": f"http://{server.address}",
            "region": "us-east-1",
            "connect_timeout": "5",
        }
        for option, value in (options | {"read_timeout": "20"}).items():
            call(folder, "dvc", "remote", "modify", "s3", option, value)
        call(folder, "git", "commit", "-q", "-a", "-m", "remote")
        call(folder, "git", "tag", "v1")
        call(folder, "dvc", "push", "-q")
        yield server


@pytest.fixture
def clone(project, remote, tmp_path):
    """A fresh clone at the tag, with no cache of its own."""
    folder = tmp_path / "clone"
    call(tmp_path, "git", "clone", "-q", str(project.folder), str(folder))
    call(folder, "git", "checkout", "-q", "v1")
    return folder


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def damage(path, *, truncate=False):
    """Change an object's bytes; its read-only mode stays, so DVC goes on trusting it."""
    mode = path.stat().st_mode
    path.chmod(0o644)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] if truncate else b"\1" + content[1:])
    path.chmod(mode)


def objects(folder, digest):
    return list(folder.rglob(f"{digest[:2]}/{digest[2:]}"))


def test_a_clone_of_a_tag_pulls_one_artefact_verifies_and_runs_it(project, clone):
    call(clone, "dvc", "pull", project.artefact)
    assert (clone / project.largest).read_bytes() == (project.folder / project.largest).read_bytes()
    assert tiny_project.verify(clone, project.artefact)[0] == 0
    code, text = tiny_project.verify(clone)
    assert code == 1, "the artefacts that were not pulled are missing"
    assert project.artefact not in text
    pulled, pushed = (
        runtime.load(folder / project.artefact, threads=1, context=64)
        for folder in (clone, project.folder)
    )
    request = runtime.Request([3, 77, 12], 8)
    answer = pulled.generate([request])
    assert answer == pushed.generate([request])
    assert answer[0].ids


def test_a_clone_of_a_tag_pulls_everything_and_has_nothing_to_do(project, clone):
    call(clone, "dvc", "pull", "-q")
    code, text = tiny_project.verify(clone, "--cache")
    assert code == 0, text
    assert "up to date" in call(clone, "dvc", "status")
    assert call(clone, "git", "status", "--porcelain") == ""


def test_a_damaged_cache_object_is_named_and_a_new_pull_mends_it(project, clone):
    call(clone, "dvc", "pull", "-q")
    (stored,) = objects(clone / ".dvc/cache", md5(clone / project.largest))
    damage(stored)
    assert stored.stat().st_mode & 0o777 == 0o444
    (clone / project.largest).unlink()
    call(clone, "dvc", "checkout")  # exit code 0: the damage is handed out
    code, text = tiny_project.verify(clone)
    assert code == 1
    line = text.splitlines()[0]
    assert line.startswith(f"{project.largest}: damaged in the cache: {stored}")
    call(clone, "sh", "-c", line.split("`")[1])
    call(clone, "dvc", "pull", "-q", project.artefact)
    assert tiny_project.verify(clone, "--cache")[0] == 0


def test_a_truncated_object_on_the_server_is_named_after_the_pull(project, remote, clone):
    digest = md5(project.folder / project.largest)
    (stored,) = objects(remote.folder, digest)
    whole = stored.with_suffix(".whole")
    shutil.copy2(stored, whole)
    remote.stop()  # a running server remembers the object's size
    damage(stored, truncate=True)
    remote.start()
    try:
        pulled = call(clone, "dvc", "pull", check=False)
        code, text = tiny_project.verify(clone, project.artefact)
        assert code == 1, pulled
        (line,) = [line for line in text.splitlines() if line.startswith(project.largest)]
        num_bytes = (project.folder / project.largest).stat().st_size
        assert f"truncated: {num_bytes // 2} bytes" in line
        assert f"expected {num_bytes} bytes" in line
        assert f"dvc pull {project.artefact}" in line
    finally:
        remote.stop()
        whole.replace(stored)
        remote.start()
    call(clone, "sh", "-c", line.split("`")[1])
    call(clone, "dvc", "pull", "-q")
    assert tiny_project.verify(clone, "--cache")[0] == 0
