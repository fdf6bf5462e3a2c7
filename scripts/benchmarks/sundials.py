"""CVODE as a C program would use it: SUNDIALS' libraries in scikit-sundae, called without Python.

scikit-sundae takes Python callables only. Here the same libraries get machine code for the right
side and for the banded Jacobian, so that no time is spent between Python and C.
"""

import ctypes
from ctypes import POINTER, byref, c_double, c_int, c_long, c_void_p
from functools import cache
from pathlib import Path

import numpy as np
from differences import band, rate
from numba import carray, cfunc, njit, types

BDF, NORMAL = 2, 1
COUNTERS = {
    "steps": "NumSteps", "rhs": "NumRhsEvals", "setups": "NumLinSolvSetups",
    "newton": "NumNonlinSolvIters", "jacobians": "NumJacEvals", "failed": "NumErrTestFails",
}  # fmt: skip


@cache
def library(name):
    """One of SUNDIALS' shared libraries, such as "cvode".

    Raises:
        ImportError: without scikit-sundae.
    """
    import sksundae._cy_cvode

    home = Path(sksundae.__file__).parent.parent / "scikit_sundae.libs"
    return ctypes.CDLL(str(next(home.glob(f"libsundials_{name}-*"))))


def function(home, name, result, *arguments):
    """A C function of a library, with the types of its result and of its arguments."""
    found = library(home)[name]
    found.restype, found.argtypes = result, arguments
    return found


@njit
def unpacked(data):
    """The arguments of `rate`, and the rows and the upper band that `band` takes as well."""
    whole = carray(data, 5, np.int64)
    kind, n, p, r, top = whole[0], whole[1], whole[2], whole[3], whole[4]
    size = 5 + 3 * n + p + 2 * (n + 2 * p) + n * (2 * r + 1)
    numbers, places = carray(data, size, np.float64), carray(data, size, np.int64)[5 : 5 + n]
    a = 5 + n
    nu, half, weights = numbers[a : a + n], numbers[a + n : a + 2 * n], numbers[a + 2 * n :][:p]
    a += 2 * n + p
    u, flux = numbers[a : a + n + 2 * p], numbers[a + n + 2 * p : a + 2 * (n + 2 * p)]
    rows = numbers[a + 2 * (n + 2 * p) :].reshape(n, 2 * r + 1)
    return kind, nu, half, weights, places, u, flux, rows, top


def packed(ode):
    """One block of 8-byte numbers with all that `unpacked` finds."""
    n, p, r = ode.n, len(ode.weights), ode.order - 1
    _, nu, half, weights, places, u, flux = ode.arguments
    head = np.array([ode.kind, n, p, r, 2 * ode.width, *places])
    return np.concatenate([head.view(float), nu, half, weights, u, flux, ode.rows.ravel()])


@cache
def callbacks():
    """The right side and the Jacobian as C functions."""
    vector = function("core", "N_VGetArrayPointer", POINTER(c_double), c_void_p)
    matrix = function("sunmatrixband", "SUNBandMatrix_Data", POINTER(c_double), c_void_p)
    pointer = types.voidptr

    @cfunc(types.intc(types.double, pointer, pointer, pointer))
    def right_side(t, y, out, data):
        kind, nu, half, weights, places, u, flux, _, _ = unpacked(data)
        n = len(nu)
        rate(carray(vector(y), n), carray(vector(out), n), kind, nu, half, weights, places, u, flux)
        return 0

    @cfunc(types.intc(types.double, *7 * (pointer,)))
    def jacobian(t, y, slope, out, data, a, b, c):
        kind, nu, _, _, places, _, _, rows, top = unpacked(data)
        n = len(nu)
        bands = carray(matrix(out), (n, top + top // 2 + 1))
        band(carray(vector(y), n), carray(vector(slope), n), kind, nu, rows, places, top, bands)
        return 0

    return right_side, jacobian


def cvode(ode, times, rtol, atol):
    """Solve an ODE of `Differences` by CVODE's BDF with its banded direct solver.

    Args:
        ode: the ODE.
        times: increasing times of output, without the start 0.
        rtol, atol: CVODE's tolerances.

    Returns:
        the folded variable at the times ``(times, n)``, and CVODE's counters by name.

    Raises:
        RuntimeError: if CVODE gives up.
        ImportError: without scikit-sundae.
    """
    context, data, y = c_void_p(), packed(ode), ode.start.copy()
    function("core", "SUNContext_Create", c_int, c_int, c_void_p)(0, byref(context))
    right_side, jacobian = callbacks()
    make = function("nvecserial", "N_VMake_Serial", c_void_p, c_int, c_void_p, c_void_p)
    state = make(ode.n, y.ctypes.data, context)
    memory = function("cvode", "CVodeCreate", c_void_p, c_int, c_void_p)(BDF, context)

    def call(name, *arguments):
        kinds = [c_double if isinstance(a, float) else c_void_p for a in arguments]
        kinds = [c_long if isinstance(a, int) and a < 2**31 else k
                 for a, k in zip(arguments, kinds, strict=True)]  # fmt: skip
        status = function("cvode", f"CVode{name}", c_int, c_void_p, *kinds)(memory, *arguments)
        if status < 0:
            raise RuntimeError(f"CVode{name} returned {status}.")

    call("Init", right_side.address, 0.0, state)
    call("SStolerances", float(rtol), float(atol))
    call("SetUserData", data.ctypes.data)
    call("SetMaxNumSteps", 100_000)
    room = function("sunmatrixband", "SUNBandMatrix", c_void_p, c_int, c_int, c_int, c_void_p)(
        ode.n, ode.width, ode.width, context
    )
    solver = function("sunlinsolband", "SUNLinSol_Band", c_void_p, *3 * (c_void_p,))(
        state, room, context
    )
    call("SetLinearSolver", solver, room)
    call("SetJacFn", jacobian.address)
    found, reached = np.empty((len(times), ode.n)), c_double()
    advance = function(
        "cvode", "CVode", c_int, c_void_p, c_double, c_void_p, c_void_p, c_int
    )
    for k, t in enumerate(times):
        if (status := advance(memory, t, state, byref(reached), NORMAL)) < 0:
            raise RuntimeError(f"CVODE stopped with status {status} at t = {reached.value}.")
        found[k] = y
    counts, number = {}, c_long()
    for key, name in COUNTERS.items():
        call(f"Get{name}", ctypes.addressof(number))
        counts[key] = number.value
    _free(memory, solver, room, state, context)
    return found, counts


def _free(memory, solver, room, state, context):
    """Give all memory of a run back."""
    function("cvode", "CVodeFree", None, c_void_p)(byref(c_void_p(memory)))
    function("core", "SUNLinSolFree", c_int, c_void_p)(solver)
    function("core", "SUNMatDestroy", None, c_void_p)(room)
    function("core", "N_VDestroy", None, c_void_p)(state)
    function("core", "SUNContext_Free", c_int, c_void_p)(byref(context))
