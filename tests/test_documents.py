"""Documents that cannot rot: their commands run, their Python and TOML too, their links exist."""

import dataclasses
import importlib
import itertools
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from processes import environment

pytest.importorskip("dolfinx")

import configured
import test_studies
from documents import DOCUMENTS, ROOT, Block, blocks, commands, links, prose

import uf_diffusion.cli as cli_module
from paper_figures import FIGURES, GROUPS, scale
from uf_diffusion.cli import main
from uf_diffusion.runs import presets
from uf_diffusion.runs.config import DiffusionConfig, NetworkConfig, ProblemConfig
from uf_diffusion.runs.reading import load_config
from uf_diffusion.studies import error_budget as budget
from uf_diffusion.studies.catalogue import STUDIES

SMALL = [word for setting in (
    "problem.t_end=0.0625", "network.width=16", "network.samples=40", "network.teacher_width=36",
    "diffusion.cells=64", "diffusion.snapshots=3", "network.step=0.0078125",
) for word in ("--set", setting)]  # fmt: skip


def study(words):
    """A study's own small sizes."""
    small = test_studies.arguments(words[1], "study")[2:]
    return [word for word in small if word not in ("--out", "study")] if "--out" in words else small


def figures(words):
    """A quick look, and at one figure where none is named."""
    named = {*words} & {*FIGURES, *GROUPS}
    return [*([] if "--quick" in words else ["--quick"]), *([] if named else ["relu-teachers"])]


# a command's first words: what is appended to make it small
REDUCTIONS = {
    "uf-diffusion compare": SMALL,
    "uf-diffusion solve": SMALL,
    "uf-diffusion train": SMALL,
    "uf-diffusion spectrum": SMALL,
    "uf-diffusion study": study,
    "uf-diffusion figures": figures,
    "uf-diffusion resume": [],
    "uf-diffusion report": [],
    "uf-diffusion mesh": [],
    "uf-diffusion info": [],
    "python meshes/make.py": [],
    "python scripts/benchmarks/diffusion.py": ["--quick", "scaling"],
    "python scripts/benchmarks/network.py": ["--quick", "step", "ratio"],
    "python scripts/benchmarks/distances.py": ["--quick"],
    "python scripts/fault_campaign.py": ["--kills", "1", "--only", "train"],
    "scripts/scaling.sh": ["1", "1", "0"],
    "ruff": [str(ROOT / "tests" / "documents.py")],
    "mypy": ["--version"],
}
PLACEHOLDERS = {"NAME": "step", "RUN_DIR": "runs/relu-circle", "...": "", ".": ""}


# what commands in this process take from modules
FEW = {
    group: {name: FIGURES[name]}
    for group, name in zip(GROUPS, ("relu-teachers", "torus-teacher", "decay"), strict=True)
}
SMALLER = [(budget, "MEAN_FIELD", (400, 400)), (budget, "TEACHER", 400), (scale, "QUICK", 40),
           (scale, "EARLY", (0, 32)), (scale, "EVERY", 40),
           (importlib.import_module("paper_figures.regenerate"), "GROUPS", FEW)]  # fmt: skip


def make_target(words):
    """Too long, or this very test: the target exists and make knows what it would do."""
    run(["make", "-n", *words[1:]], ROOT)


def extras(words):
    """Needs the network: what is installed exists, and so does the extra."""
    wanted = re.findall(r"\[([\w,]+)\]", " ".join(words))
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {name for names in wanted for name in names.split(",")} <= known.keys()


def environment_file(words):
    """Needs the network: test_packaging reads the file."""
    assert (ROOT / words[words.index("-f") + 1]).is_file()


def slurm(words):
    """Needs a cluster: the script is good bash, and its command is one of ours."""
    script = next(k for k, word in enumerate(words) if word.endswith(".sh"))
    run(["bash", "-n", words[script]], ROOT)
    assert f"uf-diffusion {words[script + 1]}" in REDUCTIONS


def named_tests(words):
    """Tests within a test: the files exist, and there is something of the name or the mark."""
    paths = [ROOT / word for word in words[1:] if word.startswith("tests/")]
    text = "".join(path.read_text() for path in paths or (ROOT / "tests").glob("test_*.py"))
    wanted = {"-k": r"^def test_\w*{}", "-m": r"^@pytest\.mark\.{}"}
    for option, word in itertools.pairwise(words):
        if option in wanted:
            assert re.search(wanted[option].format(word.split()[-1]), text, re.MULTILINE), word


def script_with_network(words):
    """Installs into new environments, which takes minutes and the network."""
    run(["bash", "-n", words[0]], ROOT)


# commands that cannot run inside a test, and how they are checked
CHECKED = {
    "make": make_target,
    "pytest": named_tests,
    "pip install": extras,
    "conda env create": environment_file,
    "sbatch": slurm,
    "scripts/check_install.sh": script_with_network,
}


def run(words, folder, **more):
    """A process of its own; it must succeed."""
    done = subprocess.run(
        list(map(str, words)), cwd=folder, capture_output=True, text=True, timeout=300,
        env={**environment(), "PYTHONPATH": str(ROOT), **{k: str(v) for k, v in more.items()}},
    )  # fmt: skip
    assert done.returncode == 0, f"{words}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def cli(words):
    """The command line, in this process."""
    with pytest.raises(SystemExit) as stopped:
        main(list(map(str, words)))
    assert stopped.value.code in (0, None)


ALL = {}
for document in DOCUMENTS:
    if document.name != "CHANGELOG.md":  # names commands without their arguments
        for line in commands(document.read_text()):
            ALL.setdefault(line, document.name)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """What the commands find: a checkout's meshes and scripts, and the files that blocks are."""
    folder = tmp_path_factory.mktemp("workplace")
    for name in ("meshes", "scripts"):
        shutil.copytree(ROOT / name, folder / name)
    for document in DOCUMENTS:
        for block in blocks(document.read_text()):
            if block.file:
                assert not (folder / block.file).exists(), f"two blocks are {block.file}"
                (folder / block.file).write_text(block.text + "\n")
    return folder


def entry(table, words):
    """The entry of the longest first words."""
    for count in range(len(words), 0, -1):
        if " ".join(words[:count]) in table:
            return table[" ".join(words[:count])]
    return None


def prepare(words):
    """What a command needs that another would have left."""
    if words[1:2] == ["resume"]:
        interrupt(Path(words[2]))
    if words[1:2] == ["report"]:
        cli(["compare", "relu-circle", *SMALL, "--out", words[2]])
    if words[1:3] == ["mesh", "convert"]:
        cli(["mesh", "make", words[3], "--cells", "20"])


def interrupt(folder):
    """A run that Ctrl-C stopped halfway."""
    config = load_config("relu-circle", SMALL[1::2])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.toml").write_text(config.to_toml())

    def stop(state):
        if state.step == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        configured.train(config, folder, watch=[stop])


@pytest.mark.parametrize("line", ALL)
def test_a_command_of_a_document_runs(line, workplace, monkeypatch):
    """With what the table appends; what is in neither table fails."""
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(line)]
    words = [word for word in words if word]
    while "=" in words[0]:
        monkeypatch.setenv(*words.pop(0).split("=", 1))
    launcher = []
    if words[:2] == ["mpiexec", "-n"]:
        launcher, words = ["mpiexec", "-n", "2"], words[3:]
    check = entry(CHECKED, words)
    if check is not None:
        check(words)
        return
    reduction = entry(REDUCTIONS, words)
    assert reduction is not None, f"'{line}' ({ALL[line]}) is in no table of this test"
    words += reduction(words[1:]) if callable(reduction) else reduction
    monkeypatch.chdir(workplace)
    for module, name, value in SMALLER:
        monkeypatch.setattr(module, name, value)
    if words[0] == "uf-diffusion" and not launcher:
        if "--set" in line or ".toml" in line:  # pictures take longest: the plain commands draw
            for name in ("_save_figure", "_write_report"):
                monkeypatch.setattr(cli_module, name, lambda *result: None)
        prepare(words)
        cli(words[1:])
        return
    programs = {"uf-diffusion": [sys.executable, "-m", "uf_diffusion"], "python": [sys.executable]}
    program = programs.get(words[0], [sys.executable, "-m", words[0]])
    if words[0].startswith("scripts/"):
        program = ["bash", words[0]]
    run([*launcher, *program, *words[1:]], workplace, BIN=Path(sys.executable).parent)


def test_no_command_escapes():
    """The tables know no more than the documents, so that a removed command leaves them too."""
    used = [" ".join(w for w in shlex.split(line) if "=" not in w or "-" in w) for line in ALL]
    used = [re.sub(r"^mpiexec -n \w+ ", "", line) for line in used]
    for prefix in (*REDUCTIONS, *CHECKED):
        assert any(line.startswith(prefix) for line in used), prefix


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_python_and_toml_of_a_document(document, workplace, monkeypatch, tmp_path):
    """Each Python block that is not a file is run in the order of the page; TOML is loaded."""
    monkeypatch.chdir(workplace)
    names = {"__name__": "document"}
    for block in blocks(document.read_text()):
        if block.language == "python" and not block.file:
            exec(compile(block.text, document.name, "exec"), names)
        elif block.language == "toml":
            load_config(loaded(block, workplace))
        else:
            assert block.language in ("", "sh", "python")


def loaded(block: Block, folder: Path) -> Path:
    """The file of a TOML block."""
    path = folder / (block.file or "unnamed.toml")
    path.write_text(block.text)
    return path


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    """Relative links and pictures exist, headings that are linked to as well."""
    text = document.read_text()
    for target in links(text):
        if target.startswith("https://"):
            continue
        name, _, heading = target.partition("#")
        path = document.parent / name if name else document
        assert path.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.*)$", prose(path.read_text()), re.MULTILINE)
            anchors = [re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles]
            assert heading in anchors, target


def test_paths_in_code_exist():
    """`scripts/verify.py` and the like: a path in the prose that starts with a folder of ours."""
    for document in DOCUMENTS:
        for path in re.findall(r"`((?:uf_diffusion|scripts|tests|docs|meshes|paper_figures)/[\w./-]*)`",
                               prose(document.read_text())):  # fmt: skip
            assert (ROOT / path).exists(), f"{document.name}: {path}"


def test_the_fault_campaign_names_what_exists():
    """A preset, study or figure that has another name now is found before an hour of kills."""
    cases = runpy.run_path(str(ROOT / "scripts" / "fault_campaign.py"))["CASES"].values()
    assert {case.command[0] for case in cases} == {"solve", "train", "compare", "study", "figures"}
    names = {"study": STUDIES, "figures": FIGURES}
    for case in cases:
        assert case.command[1] in names.get(case.command[0], presets())


def test_the_reference_of_the_configuration_is_complete():
    """Every key of every section is in the README's file."""
    text = next(b.text for b in blocks((ROOT / "README.md").read_text()) if b.language == "toml")
    for cls in (ProblemConfig, DiffusionConfig, NetworkConfig):
        for field in dataclasses.fields(cls):
            key = field.metadata.get("key", field.name)
            assert re.search(rf"\b{key}\b", text), key


def test_the_table_of_figures_is_complete():
    """Every figure has a row, every row a figure."""
    rows = re.findall(r"^\|.*$", (ROOT / "paper_figures" / "README.md").read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([a-z][\w-]+)`", row)}
    assert named == set(FIGURES)


def test_every_document_is_reached_from_the_readme():
    reached, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop().resolve()
        if page not in reached and page.suffix == ".md":
            reached.add(page)
            todo += [page.parent / t.partition("#")[0] for t in links(page.read_text())
                     if not t.startswith("https://") and t.partition("#")[0]]  # fmt: skip
    assert reached >= {document.resolve() for document in DOCUMENTS}
