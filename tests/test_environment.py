"""One lock for everybody: pip, conda and the hosted tests install the same releases."""

import re
import subprocess

import yaml
from conftest import ROOT


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned():
    """{package: block of the lock} of requirements.txt."""
    blocks = re.split(r"\n(?=[a-zA-Z])", (ROOT / "requirements.txt").read_text())
    return {normal(re.match(r"[\w.-]+", b)[0]): b for b in blocks if re.match(r"[\w.\[\]-]+==", b)}


def test_conda_users_get_the_same_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    names = [d if isinstance(d, str) else "pip:" for d in environment["dependencies"]]
    assert [re.match(r"\w+:?", name)[0] for name in names] == ["python", "make", "pip", "pip:"]
    assert environment["dependencies"][-1] == {"pip": ["-r requirements.txt"]}


def test_every_direct_dependency_is_pinned_with_hashes():
    lines = [line.split("#")[0].strip() for line in (ROOT / "requirements.in").read_text().splitlines()]
    direct = {normal(re.match(r"[\w.-]+", line)[0]) for line in lines if line}
    lock = pinned()
    assert direct >= {
        "torch",
        "torchvision",
        "open-clip-torch",
        "umap-learn",
        "hdbscan",
        "seaborn",
        "matplotlib",
        "pandas",
        "papermill",
        "jupytext",
    }
    assert direct <= set(lock)
    assert all("--hash=sha256:" in block for block in lock.values())


def test_set_up_begins_with_the_installer_of_the_lock_and_its_hashes():
    (command,) = re.findall(r"\t@(sed -n .*) > \.venv/uv\.txt", (ROOT / "Makefile").read_text())
    done = subprocess.run(command.replace("$$", "$"), shell=True, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"uv==[\d.]+ \\", lines[0]) and len(lines) > 1
    assert all(re.fullmatch(r" +--hash=sha256:[0-9a-f]{64}( \\)?", line) for line in lines[1:])


def test_the_lock_names_no_index_of_any_machine():
    text = (ROOT / "requirements.txt").read_text()
    assert not re.search(r"--(extra-)?index|--find-links|--trusted-host|://|file:", text)
    assert "+cpu" not in text


def test_pillow_in_the_lock_is_none_with_known_weaknesses():
    """Before 12.3: writes outside of memory; 12.x: frames of MPO and DCX that are not checked for their size."""
    assert int(re.match(r"pillow==(\d+)\.", pinned()["pillow"])[1]) >= 13


def test_hosted_jobs_run_fixed_actions_without_credentials_and_audit_the_lock():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    uses = [step["uses"] for step in steps if "uses" in step]
    assert uses and all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", name) for name in uses)
    checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) == 3 and all(step["with"]["persist-credentials"] is False for step in checkouts)
    assert workflow["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in workflow["jobs"].values())
    audits = " ".join(step.get("run", "") for step in workflow["jobs"]["audit"]["steps"])
    assert re.search(r"pip-audit==\S+ --require-hashes .*--requirement requirements\.txt", audits)
    assert re.search(r"zizmor==\S+ \.github", audits)
