"""Documents that cannot rot: their commands run, their Python and TOML too, their links exist."""

import importlib
import itertools
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
import webbrowser
from pathlib import Path

import pytest
from processes import environment

pytest.importorskip("dolfinx")

import configured
import small_studies
from documents import DOCUMENTS, ROOT, Block, blocks, commands, links, prose

from paper_figures import scale
from paper_figures.regenerate import FIGURES, GROUPS
from uf_diffusion.cli import app, main
from uf_diffusion.library import saving
from uf_diffusion.reports import html
from uf_diffusion.runs import presets
from uf_diffusion.runs.building import DENSITIES
from uf_diffusion.runs.reading import load_config
from uf_diffusion.studies.catalogue import STUDIES, study_named

WITHOUT_JAX = "JAX is not installed: pip install 'uf-diffusion[deep]'"
DOCS = ROOT / "docs"
GALLERY, WALK = DOCS / "gallery.md", DOCS / "first_change.md"
SMALL = [word for setting in (
    "problem.t_end=0.0625", "network.width=16", "network.samples=40", "network.teacher_width=36",
    "diffusion.cells=64", "diffusion.snapshots=3", "network.step=0.0078125",
) for word in ("--set", setting)]  # fmt: skip


def study(words):
    """Small sizes, of a study's own or of one over any keys."""
    if "--over" in words:
        return SMALL
    return small_studies.arguments(words[1], f"small-{words[1]}")[2:]


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
    "uf-diffusion deep digits": ["--epochs", "1", "--seeds", "1", "--batch", "256"],
    "uf-diffusion resume": [],
    "uf-diffusion report": [],
    "uf-diffusion open": [],
    "uf-diffusion export": [],
    "uf-diffusion keys": [],
    "uf-diffusion mesh": [],
    "uf-diffusion info": [],
    "python meshes/make.py": [],
    "python scripts/benchmarks/diffusion.py": ["--quick", "scaling"],
    "python scripts/benchmarks/network.py": ["--quick", "step", "ratio"],
    "python scripts/benchmarks/dense_step.py": ["--quick"],
    "python scripts/benchmarks/activations.py": ["--quick"],
    "python scripts/benchmarks/distances.py": ["--quick"],
    "python scripts/benchmarks/transport.py": ["--quick"],
    "python scripts/benchmarks/wide_networks.py": ["--quick", "circle", "erf"],
    "python scripts/benchmarks/ten_inputs.py": ["--quick", "--samples", "64"],
    "python scripts/benchmarks/single_precision.py": ["--quick"],
    "python scripts/fault_campaign.py": ["--trials", "1", "--only", "edited run.toml"],
    "python scripts/benchmarks/ranks.py": ["--quick", "memory"],
    "python scripts/benchmarks/errors.py": ["too", "coarse"],
    "python scripts/benchmarks/tolerance.py": ["--quick", "S1"],
    "python scripts/fuzz_files.py": ["--count", "1"],
    "scripts/scaling.sh": ["1", "1", "0"],
}
PLACEHOLDERS = {"NAME": "step", "RUN_DIR": "runs/relu-circle", "COMMAND": "compare", "...": "",
                ".": ""}  # fmt: skip


# what commands in this process take from modules
FEW = {
    group: {name: FIGURES[name]}
    for group, name in zip(
        GROUPS,
        ("relu-teachers", "torus-teacher", "resnet-risks", "decay", "movie-circle"),
        strict=True,
    )
}
SMALLER = [(scale, "QUICK", 40), (scale, "EARLY", (0, 32)), (scale, "EVERY", 40),
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


def planned(words):
    """Run by the tests of each study from end to end: the command is understood and has a plan."""
    app.parse_args(words[1:], exit_on_error=False, print_error=False)
    assert study_named(words[2]).plan().runs


def understood(words):
    """Needs data that is not here: the command is understood; tests/deep runs it."""
    pytest.importorskip("jax", reason=WITHOUT_JAX)
    app.parse_args(words[1:], exit_on_error=False, print_error=False)


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


def completion(words):
    """Changes the user's shell: the option exists."""
    assert words[1] in app.help_flags or any(words[1] in name for name in app)


# commands that cannot run inside a test, and how they are checked
CHECKED = {
    "uf-diffusion deep cifar": understood,
    **{
        f"uf-diffusion study {name}": planned
        for name in ("width", "lambda", "activations", "dimension", "two-timescale")
    },
    "uf-diffusion --install-completion": completion,
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


# figures are drawn by tests of their own, the walk through a change changes the package, and the
# changelog names commands without their arguments
ELSEWHERE = {GALLERY, WALK, ROOT / "CHANGELOG.md"}
ALL = {}
for document in DOCUMENTS:
    if document not in ELSEWHERE:
        for line in commands(document.read_text()):
            ALL.setdefault(line, document.name)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """What the commands find: a checkout's meshes and scripts, and the files that blocks are."""
    folder = tmp_path_factory.mktemp("workplace")
    for name in ("meshes", "scripts"):
        shutil.copytree(ROOT / name, folder / name)
    for document in DOCUMENTS:
        for block in blocks(document.read_text()) if document != WALK else []:
            if block.file:
                assert not (folder / block.file).exists(), f"two blocks are {block.file}"
                (folder / block.file).write_text(block.text + "\n")
    (folder / "angles.csv").write_text("\n".join(map(str, range(-3, 4))))  # of docs/data.md
    return folder


def entry(table, words):
    """The entry of the longest first words."""
    for count in range(len(words), 0, -1):
        if " ".join(words[:count]) in table:
            return table[" ".join(words[:count])]
    return None


def prepare(words):
    """What a command needs that another would have left."""
    if words[1:2] == ["deep"]:
        pytest.importorskip("jax", reason=WITHOUT_JAX)
    if words[1:2] == ["resume"]:
        interrupt(Path(words[2]))
    if words[1:2] in (["report"], ["open"], ["export"]):
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
    if words[:2] == ["uf-diffusion", "figures"]:
        launcher = []  # tests/figures draws on two ranks
    check = entry(CHECKED, words)
    if check is not None:
        check(words)
        return
    end = words.index("--") if "--" in words else len(words)
    words, petsc = words[:end], words[end:]
    reduction = entry(REDUCTIONS, words)
    assert reduction is not None, f"'{line}' ({ALL[line]}) is in no table of this test"
    words += [*(reduction(words[1:]) if callable(reduction) else reduction), *petsc]
    monkeypatch.chdir(workplace)
    shutil.rmtree(workplace / "runs", ignore_errors=True)  # another line's command has been there
    for module, name, value in SMALLER:
        monkeypatch.setattr(module, name, value)
    if words[0] == "uf-diffusion" and not launcher and not petsc:
        if "--set" in line or ".toml" in line:  # pictures take longest: the plain commands draw
            monkeypatch.setattr(saving, "save_figure", lambda *result: None)
            monkeypatch.setattr(html, "write_report", lambda *result: None)
        monkeypatch.setattr(webbrowser, "open", lambda address: address.endswith("report.html"))
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


# the notebooks are executed by "make docs", which fails with them
@pytest.mark.parametrize(
    "document", [page for page in DOCUMENTS if page != WALK and page.parent.name != "notebooks"],
    ids=lambda path: str(path.relative_to(ROOT)),
)  # fmt: skip
def test_python_and_toml_of_a_document(document, workplace, monkeypatch):
    """Each Python block or cell that is not a file is run in the order of the page; TOML is loaded."""
    monkeypatch.chdir(workplace)
    if "import uf_diffusion.deep" in document.read_text():
        pytest.importorskip("jax", reason=WITHOUT_JAX)
    names = {"__name__": "document"}
    for block in blocks(document.read_text()):
        if block.language == "python" and not block.file:
            exec(compile(block.text, document.name, "exec"), names)
        elif block.language == "toml":
            load_config(loaded(block, workplace))
        else:
            assert block.language in ("", "sh", "python", "rst")


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """A copy of the package and its tests with the change that the walk makes."""
    folder = tmp_path_factory.mktemp("changed")
    unneeded = shutil.ignore_patterns("__pycache__")
    for name in ("uf_diffusion", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=unneeded)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder / name)
    for block in blocks(WALK.read_text()):
        first, _, rest = block.text.partition("\n")
        if block.file:
            home = "uf_diffusion/problem" if block.language == "python" else "."
            (folder / home / block.file).write_text(rest + "\n")
        elif block.language == "python":
            with (folder / first.removeprefix("# append to ")).open("a") as file:
                file.write(f"\n\n{rest}\n")
        elif block.language == "diff":
            apply(rest, folder / first.removeprefix("--- "))
    return folder


def apply(change, path):
    """Make a change whose lines begin with a space, a minus or a plus; it fits one place alone."""
    before, after = ("\n".join(line[1:] for line in change.split("\n") if line[0] in signs) + "\n"
                     for signs in (" -", " +"))  # fmt: skip
    text = path.read_text()
    assert text.count(before) == 1, f"{path.name}: {before}"
    path.write_text(text.replace(before, after))


def test_the_walk_through_a_change_arrives(changed):
    """The changed copy passes the walk's tests and that of the reference of keys; it runs."""
    there = {"PYTHONPATH": changed}
    tests = [
        "tests/problem/test_densities.py",
        "tests/test_cli.py",
        "-k",
        "integral or tilted or key",
    ]
    run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests], changed, **there)
    there_alone = "import uf_diffusion as uf; print(uf.Tilted(slope=0.1))"
    run([sys.executable, "-c", there_alone], changed, **there)
    found = commands(WALK.read_text())
    assert "uf-diffusion solve tilted.toml" in found
    for words in map(shlex.split, found):
        if words[0] == "uf-diffusion":
            more = [] if words[1] == "keys" else SMALL
            run([sys.executable, "-m", "uf_diffusion", *words[1:], *more], changed, **there)
        else:
            entry(CHECKED, words)(words)
    style = ["check", "--config", ROOT / "pyproject.toml", "uf_diffusion/problem/tilted.py"]
    run([sys.executable, "-m", "ruff", *style], changed)


def test_the_gallery_shows_all_figures():
    """Each picture is there with the command that makes it; tests/figures draws the figures."""
    text = GALLERY.read_text()
    shown = {Path(target).name for target in links(text) if not target.endswith(".md")}
    drawn = {path.name for path in (ROOT / "paper_figures" / "rendered").iterdir()}
    assert shown >= drawn - {"agreement.txt"}
    named = {line.split()[-1] for line in commands(text) if line.startswith("uf-diffusion figures")}
    assert named == set(FIGURES)
    others = [line for line in commands(text) if not line.startswith("uf-diffusion figures")]
    assert all(line in ALL for line in others), others


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
            made = document == WALK and path == "uf_diffusion/problem/tilted.py"
            assert made or (ROOT / path).exists(), f"{document.name}: {path}"


def test_the_fault_campaign_names_what_exists(monkeypatch):
    """A preset, study or figure that has another name now is found before an hour of kills."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    cases = importlib.import_module("faults.kills").CASES.values()
    assert {case.command[0] for case in cases} == {"solve", "train", "compare", "study", "figures"}
    names = {"study": STUDIES, "figures": FIGURES}
    for case in cases:
        assert case.command[1] in names.get(case.command[0], presets())


def test_the_reference_of_the_configuration_is_complete(monkeypatch):
    """The site's tables have every key, with its default in TOML and a meaning."""
    pytest.importorskip("docutils")
    monkeypatch.syspath_prepend(DOCS / "extensions")
    reference = importlib.import_module("configuration_reference")
    page = (DOCS / "configuration.md").read_text()
    for section, keys in tomllib.loads(load_config("relu-circle").to_toml()).items():
        rows = {row[0]: (row[1], row[3]) for row in reference.section_rows(section)}
        assert rows.keys() == keys.keys()
        assert all(meaning for _, meaning in rows.values())
        for default, _ in rows.values():
            assert default == "not given" or tomllib.loads(f"x = {default}")
        assert f":::{{configuration-keys}} {section}\n" in page
    assert {row[0] for row in reference.density_rows()} == set(DENSITIES)
    assert reference.preset_texts().keys() == set(presets())


def test_every_command_is_in_the_guide():
    """The table of the command line has each command that a user can give."""
    page = (DOCS / "command_line.md").read_text()
    rows = " ".join(re.findall(r"^\| (`.*?) \|", page, re.MULTILINE))
    named = set(re.findall(r"`([a-z][\w-]*)`", rows))
    assert {name for name in app if not name.startswith("-")} <= named


def test_the_readme_is_short():
    """At most 6 kB, with the six lines from a teacher to a figure and three commands."""
    text = (ROOT / "README.md").read_text()
    assert len(text.encode()) <= 6000
    code = next(block.text for block in blocks(text) if block.language == "python")
    assert len(code.split("\n")) <= 10
    assert "lambda" in code
    assert len([line for line in commands(text) if line.startswith("uf-diffusion")]) >= 3


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
