"""What progress shows: bars where they can be drawn, lines where they are asked for, else nothing."""

import io
import re
import sys
import types

import pytest

from uf_diffusion.core import mpi
from uf_diffusion.core import progress as module
from uf_diffusion.core.progress import progress, progress_as, with_progress


class State:
    def __init__(self, t):
        self.t = t


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = types.SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(module.time, "monotonic", lambda: now.seconds)
    return now


def run(clock, times, seconds, t_end=10.0):
    """States that come every so many seconds."""

    def states():
        for t in times:
            yield State(t)
            clock.seconds += seconds

    return [state.t for state in with_progress(states(), t_end, "diffusion")]


TIMES = [k / 4 for k in range(41)]  # to t = 10


def test_nothing_without_a_terminal_unless_it_is_asked_for(clock, capsys):
    assert run(clock, TIMES, 5.0) == TIMES
    with progress_as("nothing"):
        run(clock, TIMES, 5.0)
    assert capsys.readouterr() == ("", "")


def test_lines_come_after_ten_seconds_and_every_thirty(clock, capsys):
    with progress_as("lines"):
        assert run(clock, TIMES, 4.0) == TIMES
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "diffusion t = 0.75 of 10, 8 %, 12 s gone, about 2 min 28 s left"
    gone = [re.search(r"%, (.*) gone", line)[1] for line in lines]
    assert gone == ["12 s", "44 s", "1 min 16 s", "1 min 48 s", "2 min 20 s"]
    with progress_as("lines"):
        run(clock, TIMES[:3], 4.0)  # over before the first line
    assert capsys.readouterr().err == ""


def test_the_time_left_of_a_run_that_goes_on(clock, capsys):
    """What was done before took no time now."""
    with progress_as("lines"):
        run(clock, [8.0, 8.5, 9.0], 10.0)
    line = capsys.readouterr().err.splitlines()[0]
    assert line == "diffusion t = 8.5 of 10, 85 %, 10 s gone, about 30 s left"


def test_no_states_at_all(clock):
    with progress_as("lines"):
        assert run(clock, [], 1.0) == []


def test_lines_of_many_runs_leave_out_each_run(clock, capsys):
    with progress_as("lines"), progress(40, "runs", 10) as reached:
        clock.seconds += 20
        run(clock, TIMES, 5.0)
        reached(12)
    assert capsys.readouterr().err == (
        "runs      12 of 40, 30 %, 3 min 45 s gone, about 52 min 30 s left\n"
    )


def test_a_run_that_is_left_changes_nothing_for_the_next(clock, capsys):
    """Its states are thrown away while another run shows its own progress."""
    with progress_as("lines"):
        left = with_progress(iter([State(0.0), State(1.0)]), 2.0, "network")
        next(left)
    left.close()
    assert module._display == "bar"


def test_only_the_root_shows_it(clock, capsys, monkeypatch):
    monkeypatch.setattr(mpi, "rank", lambda: 1)
    with progress_as("lines"):
        run(clock, TIMES, 5.0)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("display", ["bar", "lines"])
def test_a_bar_on_a_terminal(display, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress_as(display):
        list(with_progress([State(0.0), State(0.5), State(1.0)], 1.0, "network"))
    assert "network   100% |" in sys.stderr.getvalue()
    assert "t = 1/1" in sys.stderr.getvalue()


@pytest.fixture
def notebook(monkeypatch):
    """A process that is a notebook's kernel."""
    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: shell
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    return monkeypatch


def test_a_bar_of_text_in_a_notebook_without_widgets(notebook, capsys):
    notebook.setattr(module.importlib.util, "find_spec", lambda name: None)
    list(with_progress([State(0.0), State(1.0)], 1.0, "network"))
    assert "network   100% |" in capsys.readouterr().err


def test_a_bar_of_widgets_where_there_are_some(notebook):
    """The class is tqdm's for notebooks."""
    made = types.ModuleType("tqdm.notebook")
    made.tqdm = object()
    notebook.setitem(sys.modules, "tqdm.notebook", made)
    notebook.setattr(module.importlib.util, "find_spec", lambda name: object())
    assert module._bar() is made.tqdm


def test_ipython_on_a_terminal_is_no_notebook(notebook):
    sys.modules["IPython"].get_ipython = lambda: types.SimpleNamespace()
    assert module._bar() is None
