"""The report of a run, looked at in a real browser; and the checks that it tells."""

import io
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import configured
import matplotlib.image
import numpy as np
import pytest
import xarray as xr
from configured import spectrum

from uf_diffusion.core.errors import InputError, Unwritable
from uf_diffusion.reports.html import report, write_report
from uf_diffusion.results.netcdf import read_result, write_result
from uf_diffusion.runs.checks import OPTIONAL, Check, checks
from uf_diffusion.runs.reading import load_config

SMALL = ["network.width=32", "network.samples=64", "network.teacher_width=64",
         "network.step=0.03125", "problem.t_end=0.25", "diffusion.snapshots=3"]  # fmt: skip


def _config(preset, *changes):
    return load_config(preset, [*SMALL, *changes])


@pytest.fixture(scope="module")
def circle():
    pytest.importorskip("dolfinx")
    config = _config("matern-circle", "diffusion.cells=256", "network.step=0.0078125",
                     "problem.t_end=1.0", "diffusion.snapshots=5")  # fmt: skip
    return configured.compare(config)


@pytest.fixture(scope="module")
def spectra():
    return configured.spectrum(_config("matern-circle", "diffusion.cells=64"))


@pytest.fixture(scope="module")
def budget(tmp_path_factory):
    config = _config("matern-circle", "diffusion.cells=64", "network.step=0.0078125",
                     "network.width=32", "problem.t_end=0.125", "diffusion.snapshots=2")  # fmt: skip
    return configured.compare_with_budget(config, tmp_path_factory.mktemp("budget"))


@pytest.fixture(scope="module")
def sphere():
    pytest.importorskip("dolfinx")
    return configured.compare(_config("sphere", "diffusion.cells=320"))


def _with(result, group, **changes):
    """A copy with other variables or, where they are no arrays of it, attributes in a group."""
    changed = result.copy(deep=True)
    data = changed[group].to_dataset()
    for name, value in changes.items():
        if name in data:
            data[name] = (data[name].dims, value)
        else:
            data.attrs[name] = value
    changed[group] = xr.DataTree(data)
    return changed


def _configured(result, *pairs):
    """A copy whose configuration has other lines."""
    changed = result.copy()
    text = result.attrs["config"]
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    changed.attrs["config"] = text
    return changed


# --- checks


def test_a_sound_run_keeps_every_promise(circle, sphere):
    for result in (circle, sphere):
        made = [c for c in checks(result) if c.holds is not None]
        assert len(made) >= 8
        assert all(c.holds for c in made)


def _pulled(values, k, factor):
    values = values.values.copy()
    values[k] *= factor
    return values


@pytest.mark.parametrize("name, group, change, measured", [
    ("mass drift", "diffusion", lambda d: {"mass": _pulled(d.mass, 7, 1.003)}, 0.003),
    ("positivity", "diffusion", lambda d: {"density": _pulled(d.density, (2, 5), -1.0)}, None),
    ("fall of min", "diffusion", lambda d: {"min_ratio": _pulled(d.min_ratio, -1, 0.5)}, None),
    ("rise of max", "diffusion", lambda d: {"max_ratio": _pulled(d.max_ratio, -1, 2.0)}, None),
    ("risk of the diffusion", "diffusion", lambda d: {"risk": _pulled(d.risk, -1, 3.0)}, None),
    ("network's risk rose", "network", lambda d: {"risk_rises": 3}, 3),
    ("residual", "network", lambda d: {"projection_residual": 2e-6}, 2e-6),
    ("masses of the neurons", "network",
     lambda d: {"neuron_mass": d.neuron_mass.values * 1.25}, 0.25),
])  # fmt: skip
def test_a_broken_promise_fails_its_check_and_no_other(circle, name, group, change, measured):
    broken = _with(circle, group, **change(circle[group]))
    failed = [c for c in checks(broken) if c.holds is False]
    assert [name in c.name for c in failed] == [True]
    if measured is not None:
        assert failed[0].measured == pytest.approx(measured, rel=1e-6)


def _numbers(result):
    """Each variable with decimals and each decimal attribute of a result's groups."""
    for group in result.children:
        if group != "timings":
            data = result[group].to_dataset()
            yield from ((group, n) for n, v in data.items() if v.dtype.kind == "f")
            yield from ((group, n) for n, v in data.attrs.items() if isinstance(v, float))


def test_not_a_number_fails_a_check(circle, sphere, spectra, budget):
    """One NaN in any variable, at the first place or the last, or in any attribute that is checked;
    only W2 is allowed to be missing.
    """
    tried = set()
    for result in (circle, sphere, spectra, budget):
        for group, name in set(_numbers(result)) - tried:
            tried.add((group, name))
            for k in (0, -1):
                value = result[group].attrs.get(name, np.nan)
                if name in result[group]:
                    value = result[group][name].values.copy()
                    value.flat[k] = np.nan
                broken = _with(result, group, **{name: np.nan if np.ndim(value) == 0 else value})
                try:
                    failed = [c for c in checks(broken) if c.holds is False]
                except InputError as error:  # without it the result cannot even be read
                    assert name in str(error)
                    continue
                free = name in OPTIONAL or name in {"decay_rate", "unseen_teacher",
                                                    "unseen_initial"}  # fmt: skip
                assert bool(failed) != free, (group, name)
                assert free or any("nan" in c.sentence or name in c.sentence for c in failed)
    assert {group for group, _ in tried} == {"diffusion", "network", "comparison", "kernel",
                                             "spectrum", "budget"}  # fmt: skip


def test_every_single_check_fails_for_not_a_number():
    """Also where the theory gives no bound."""
    for kept in (True, False, None):
        for value in (np.nan, np.inf, -np.inf):
            check = Check("what", value, "greater than 0", kept, "stop")
            assert check.holds is False
            assert check.sentence == f"What: {value}, not a finite number; stop."


def test_what_is_no_principle_is_not_claimed(circle):
    """Bounds of mu / nu: degree 1, the unconstrained equation; the risk: also the constrained one;
    nothing but mass and positivity for SDIRK with fixed steps.
    """
    steps = ("step = 0.0\n", "step = 0.125\n")
    cases = {
        "degree 2": ([("degree = 1", "degree = 2")], {"fall", "rise", "risk"}),
        "constrained": ([('"unconstrained"', '"constrained"'), ('"laplace"', '"relu"')],
                        {"fall", "rise"}),
        "fixed": ([steps], {"fall", "rise", "risk"}),
        "fixed Euler": ([steps, ("sdirk2", "euler")], set()),
    }  # fmt: skip
    words = {"fall": "fall of min", "rise": "rise of max", "risk": "risk of the diffusion"}
    for pairs, free in cases.values():
        found = checks(_configured(circle, *pairs))
        for key, word in words.items():
            (check,) = [c for c in found if word in c.name]
            assert (check.holds is None) == (key in free)
            assert ("principle" in check.bound) == (key in free)
        assert [c.holds for c in found if "mass drift" in c.name or "positivity" in c.name] == [
            True, True,
        ]  # fmt: skip


# --- the page as text


class _Page(HTMLParser):
    """What a page consists of; refuses tags that are not closed."""

    VOID = ("meta", "link", "input", "br", "img")

    def __init__(self, text):
        super().__init__()
        self.open, self.headings, self.figures, self.text = [], [], [], ""
        self.ids, self.tags, self.labels = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append(tag)
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if attributes.get("role") == "img" or tag == "input":
            self.labels.append(attributes.get("aria-label"))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("h1", "h2"):
            self.headings.append((self.open[-1], data))
        if "script" not in self.open:
            self.text += data


def _jobs():
    """Jobs, and how many moving pictures their pages have."""
    torus = ["diffusion.cells=200", "problem.teacher={kind='bumps', gamma=5.0}"]
    mean = "problem.teacher={kind='von-mises-fisher', means=[[1.0, 0.0, 0.0, 0.0]], kappa=5.0}"
    tilted = "problem.initial={kind='von-mises-fisher', means=[[0.0, 1.0, 0.0, 0.0]], kappa=1.0}"
    constrained = ("relu-circle", "problem.limit=constrained", "diffusion.cells=128")
    train, solve, compare = configured.train, configured.solve, configured.compare
    return {
        "train": (train, _config("matern-circle"), 1),
        "train S2": (train, _config("sphere"), 1),
        "train S3": (train, _config("sphere", "problem.dim=3", mean), 1),
        "train S3, no axis": (train, _config("sphere", "problem.dim=3", mean, tilted), 0),
        "solve": (solve, _config("matern-circle", "diffusion.cells=128"), 1),
        "solve S2": (solve, _config("sphere", "diffusion.cells=80"), 2),
        "T1": (compare, _config("radial-torus", "problem.dim=1", *torus), 2),
        "T2": (compare, _config("radial-torus", *torus), 4),
        "T3": (compare, _config("radial-torus", "problem.dim=3", *torus), 4),
        "constrained": (compare, _config(*constrained), 2),
        "spectrum": (spectrum, _config("matern-circle", "diffusion.cells=256"), 0),
    }


@pytest.mark.parametrize("name", _jobs())
def test_every_kind_of_result_has_a_page(name, tmp_path):
    """Valid, small, all pictures named, from result.nc; a sentence where nothing can be drawn."""
    job, config, count = _jobs()[name]
    if job is not configured.train:
        pytest.importorskip("dolfinx")
    result = job(config)
    write_result(tmp_path / "result.nc", result)
    text = report(read_result(tmp_path / "result.nc"))
    assert len(text.encode()) < 7e6
    page = _Page(text)
    assert len(set(page.ids)) == len(page.ids)
    assert all(page.labels) and page.tags.count("figcaption") == page.tags.count("figure")
    assert next(level for level, _ in page.headings) == "h1"
    titles = [title for level, title in page.headings if level == "h2"]
    assert titles[-4:] == ["Conservation and residuals", "Where the time went", "Environment",
                           "Configuration"]  # fmt: skip
    moving = ("densities", "outer-weights", "diffusion", "network", "teacher")
    names = {f"plot-{name}" for name in moving} & set(page.ids)
    assert len(names) == count
    assert ("Eigenvalues" in titles) == (name == "spectrum")
    assert ("There is no picture" in page.text) == (name == "train S3, no axis")


def test_what_differs_from_the_defaults_is_marked(circle):
    lines = re.findall(r"<mark>(.*?)</mark>", report(circle))
    assert "width = 32" in lines and "t_end = 1.0" in lines
    assert not any(line.startswith(("lambda", "[", "seed", "rtol")) for line in lines)


def test_warnings_come_first(circle):
    changed = circle.copy()
    changed.attrs["warnings"] = "one is odd\ntwo is <odd>"
    text = _Page(report(changed)).text
    assert text.index("one is odd") < text.index("two is <odd>") < text.index("Densities")
    changed.attrs["warnings"] = ""
    assert "Warnings" not in _Page(report(changed)).text


def test_the_file_appears_whole_or_not_at_all(circle, tmp_path):
    path = write_report(circle, tmp_path)
    assert path == tmp_path / "report.html" and list(tmp_path.iterdir()) == [path]
    assert path.read_text(encoding="utf-8").endswith("</html>\n")
    with pytest.raises(Unwritable, match="Cannot write"):
        write_report(circle, tmp_path / "nowhere")


# --- the page in a browser


@pytest.fixture(scope="module")
def chromium():
    pytest.importorskip("playwright", reason="the pip package playwright is not installed")
    if not shutil.which("chromium"):
        pytest.skip("there is no chromium")
    sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))
    from screenshot import browser

    with browser() as found:
        yield found


class _Window:
    """A page in a window, what it complains of, and what it asks for beside itself."""

    def __init__(self, chromium, path, width, height):
        self.complaints, self.asked = [], []
        self.page = chromium.new_page(viewport={"width": width, "height": height})
        self.page.on("console", self._told)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda r: self.asked.append(r.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("html[data-drawn]")
        self.asked.remove(path.as_uri())

    def _told(self, message):
        if message.type == "error":  # warnings are the software renderer's: that it is slow
            self.complaints.append(message.text)

    @property
    def noise(self):
        """All of either."""
        outside = [url for url in self.asked if not url.startswith(("data:", "blob:"))]
        return self.complaints + outside


@pytest.fixture(scope="module")
def window(chromium, circle, tmp_path_factory):
    return _Window(chromium, write_report(circle, tmp_path_factory.mktemp("run")), 1280, 900)


EYE = "name => document.getElementById('plot-' + name)._fullLayout.scene._scene.getCamera().eye"
TURNED = f"""before => {{
  const [a, b] = ["diffusion", "teacher"].map({EYE});
  const far = (p, q) => Math.hypot(p.x - q.x, p.y - q.y, p.z - q.z);
  return far(a, before) > 0.1 && far(a, b) < 1e-6;
}}"""
INTENSITY = "Array.from(document.getElementById('plot-diffusion')._fullData[0].intensity)"
CURVE = """name => Array.from(document.getElementById("plot-densities")._fullData
           .find(trace => trace.name.startsWith(name)).y)"""


def _paths(page):
    return [
        p.get_attribute("d") for p in page.locator("#plot-densities .scatterlayer .js-line").all()
    ]


def test_the_slider_moves_the_curves(window, circle):
    """By mouse, keyboard and button. The last curve drawn is the last density of the result."""
    page = window.page
    slider, shown = page.locator("#time"), page.locator("#time-shown")
    first = _paths(page)
    assert shown.inner_text() == "t = 0"
    box = slider.bounding_box()
    page.mouse.click(box["x"] + box["width"] - 2, box["y"] + box["height"] / 2)
    page.wait_for_selector("#time[data-drawn='4']")
    assert shown.inner_text() == "t = 1"
    # the teacher stays, network and diffusion move
    assert [a == b for a, b in zip(first, _paths(page), strict=True)] == [True, False, False]
    diffusion = circle["diffusion"]
    angle = np.arctan2(diffusion.node_position.values[:, 1], diffusion.node_position.values[:, 0])
    expected = diffusion.density.values[-1][np.argsort(angle)]
    np.testing.assert_allclose(page.evaluate(CURVE, "diffusion"), expected, rtol=1e-6)
    slider.press("ArrowLeft")
    assert shown.inner_text() == slider.get_attribute("aria-valuetext") == "t = 0.75"
    page.locator("#play").click()
    page.wait_for_function("document.getElementById('time').value === '4'")
    assert page.locator("#play").inner_text() == "Play"


def test_it_turns_dark_and_fits_a_phone(window):
    page = window.page
    colour = "name => getComputedStyle(document.querySelector(name)).backgroundColor"
    page.emulate_media(color_scheme="dark")
    dark = re.findall(r"\d+", page.evaluate(colour, "body"))
    assert max(map(int, dark)) < 60
    assert page.evaluate(colour, ".plot") == "rgb(255, 255, 255)"
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_nothing_is_asked_for_and_nothing_goes_wrong(window):
    assert window.noise == []


def test_the_sphere_turns_under_the_mouse_and_the_other_one_with_it(chromium, sphere, tmp_path):
    window = _Window(chromium, write_report(sphere, tmp_path), 500, 700)
    page, globe = window.page, window.page.locator("#plot-diffusion")
    globe.scroll_into_view_if_needed()
    image = matplotlib.image.imread(io.BytesIO(globe.screenshot()))
    colours = np.unique(np.round(image[..., :3] * 15).reshape(-1, 3), axis=0)
    assert len(colours) > 100  # a blank card with text has some tens of greys
    before, box = page.evaluate(EYE, "diffusion"), globe.bounding_box()
    x, y = box["x"] + 0.4 * box["width"], box["y"] + 0.6 * box["height"]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 80, y + 30, steps=2)
    page.mouse.up()
    page.wait_for_function(TURNED, arg=before)
    after = page.evaluate(EYE, "diffusion")
    page.locator("#time").press("End")
    page.wait_for_selector("#time[data-drawn='2']")
    assert page.locator("#time-shown").inner_text() == "t = 0.25"
    nodes = sphere["diffusion"].density.values[-1]
    assert max(page.evaluate(INTENSITY)) == pytest.approx(nodes.max(), rel=1e-6)
    later = page.evaluate(EYE, "diffusion")  # time does not turn it back
    assert all(abs(after[k] - later[k]) < 1e-6 for k in "xyz")
    assert window.noise == []


def test_text_of_the_user_is_shown_and_does_not_run(chromium, circle, tmp_path):
    evil = (
        "</pre></script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
    )
    changed = _configured(circle, ('"uniform"', f'"python", function = "{evil}"'))
    changed.attrs["warnings"] = evil
    changed.attrs["git_commit"] = evil
    timings = changed["timings"].to_dataset()
    names = timings.entry.values.astype(object)
    names[0] = evil
    changed["timings"] = xr.DataTree(timings.assign_coords(entry=names))
    window = _Window(chromium, write_report(changed, tmp_path), 1280, 900)
    assert window.page.evaluate("window.hacked") is None
    for place in ("pre", ".warnings", "#environment", "#timings"):
        assert evil in window.page.locator(place).inner_text()
    assert window.noise == []
