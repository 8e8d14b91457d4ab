"""Every command and every program in the README does what it says, on a server that is started for it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.process import BursarServer

REPOSITORY = Path(__file__).resolve().parents[2]
ADDRESS = "http://127.0.0.1:5050"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", (REPOSITORY / "README.md").read_text(), re.DOTALL | re.MULTILINE)


def blocks(language: str, word: str) -> list[str]:
    return [text for kind, text in BLOCKS if kind == language and word in text]


def run(command: list[str], folder: Path, **variables: str) -> str:
    """What it printed; it must succeed."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BURSAR_")}
    process = subprocess.run(
        command, cwd=folder, env=inherited | variables, capture_output=True, text=True, timeout=100, check=False
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def shell(text: str, folder: Path, **variables: str) -> str:
    return run(["bash", "-euo", "pipefail", "-c", text], folder, **variables)


@pytest.fixture
def program(tmp_path: Path) -> str:
    """A PATH on which `bursar` is this one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "bursar"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bursar "$@"\n')
    script.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_every_block_is_run_by_one_of_these_tests() -> None:
    known = [*blocks("sh", "make "), *blocks("sh", "curl "), *blocks("sh", "bursar "), *blocks("python", "import")]
    assert sorted(known) == sorted(text for _, text in BLOCKS)


def test_what_make_is_asked_for_is_there() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    asked = re.findall(r"`?make (\w+)`?", (REPOSITORY / "README.md").read_text())
    assert {"run", "test"} <= set(asked)
    for target in asked:
        assert f"\n{target}:" in makefile


def test_the_curl_lines(tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    (tmp_path / ".curlrc").write_text("fail\nsilent\n")
    database_url = f"sqlite:///{tmp_path / 'bursar.db'}"
    with BursarServer(database_url=database_url, data_dir=tmp_path / "data") as server:
        made = run(
            [sys.executable, "-m", "bursar", "keys", "create", "service", "--may-grant", "--json"],
            tmp_path,
            BURSAR_DATABASE_URL=database_url,
        )
        people, app = (
            shell(
                text.replace(ADDRESS, server.url).replace("bk_...", json.loads(made)["key"]),
                tmp_path,
                CURL_HOME=str(tmp_path),
            )
            for text in blocks("sh", "curl ")
        )
    assert '"credits_remaining":99' in people.replace(" ", "")
    assert '"posted_after":99' in app
    assert app.count('"account":"alice"') == 2


def test_the_library_example(tmp_path: Path) -> None:
    [text] = blocks("python", "import")
    shown = run([sys.executable, "-c", text], tmp_path).splitlines()
    said = re.findall(r"print\(.*\)  # (.*)$", text, re.MULTILINE)
    assert [shown[0], shown[2]] == said


def test_the_command_line_example(tmp_path: Path, program: str) -> None:
    [text] = blocks("sh", "bursar ")
    shown = shell(text, tmp_path, PATH=program)
    assert "IMAGE_GENERATION" in shown
    assert '"available":115' in shown
    assert "sound\tyes" in shown
    assert (tmp_path / "bursar.backup").exists()


def documents() -> list[Path]:
    return [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_link_to_a_file_leads_somewhere(document: Path) -> None:
    prose = re.sub(r"```.*?```|`[^`]*`", "", document.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)", prose):
        if "://" not in target:
            assert (document.parent / target).exists(), target
