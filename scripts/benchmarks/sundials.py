"""CVODE as a C program would use it: SUNDIALS' libraries in scikit-sundae, called without Python.

scikit-sundae takes Python callables only. Here the same libraries get machine code for the right
side and for the banded Jacobian, so that no time is spent between Python and C.
"""

import ctypes
import importlib.util
from ctypes import POINTER, addressof, c_double, c_int, c_long, c_void_p
from functools import cache, partial
from pathlib import Path

import numpy as np
from differences import band, rate
from numba import carray, cfunc, njit, types

BDF, NORMAL, MOST = 2, 1, 100_000  # MOST steps between two times of output
COUNTERS = {
    "steps": "NumSteps", "rhs": "NumRhsEvals", "setups": "NumLinSolvSetups",
    "newton": "NumNonlinSolvIters", "jacobians": "NumJacEvals", "failed": "NumErrTestFails",
}  # fmt: skip


def home():
    """The folder of SUNDIALS' shared libraries in scikit-sundae's wheel; None without them."""
    found = importlib.util.find_spec("sksundae")
    folder = found and Path(found.origin).parent.parent / "scikit_sundae.libs"
    return folder if folder and folder.is_dir() else None


@cache
def library(name):
    """One of SUNDIALS' shared libraries, such as "cvode"."""
    importlib.import_module("sksundae.cvode")  # it loads what the library depends on
    return ctypes.CDLL(str(next(home().glob(f"libsundials_{name}-*"))))


def call(place, name, *arguments, result=c_int):
    """Call a C function of a library with ctypes values.

    Raises:
        RuntimeError: if its result is a negative number, which stands for a failure.
    """
    function = library(place)[name]
    function.restype, function.argtypes = result, [type(a) for a in arguments]
    value = function(*arguments)
    if result is c_int and value < 0:
        raise RuntimeError(f"{name} returned {value}.")
    return c_void_p(value) if result is c_void_p else value


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
    vector = library("core")["N_VGetArrayPointer"]
    matrix = library("sunmatrixband")["SUNBandMatrix_Data"]
    for function in (vector, matrix):
        function.restype, function.argtypes = POINTER(c_double), [c_void_p]
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
    """
    right_side, jacobian = (c_void_p(f.address) for f in callbacks())
    context, data, y, n, width = c_void_p(), packed(ode), ode.start, c_int(ode.n), c_int(ode.width)
    call("core", "SUNContext_Create", c_int(0), pointer_to(context))
    make = partial(call, result=c_void_p)
    state = make("nvecserial", "N_VMake_Serial", n, c_void_p(y.ctypes.data), context)
    memory = make("cvode", "CVodeCreate", c_int(BDF), context)
    matrix = make("sunmatrixband", "SUNBandMatrix", n, width, width, context)
    solver = make("sunlinsolband", "SUNLinSol_Band", state, matrix, context)
    call("cvode", "CVodeInit", memory, right_side, c_double(0.0), state)
    call("cvode", "CVodeSStolerances", memory, c_double(rtol), c_double(atol))
    call("cvode", "CVodeSetUserData", memory, c_void_p(data.ctypes.data))
    call("cvode", "CVodeSetMaxNumSteps", memory, c_long(MOST))
    call("cvode", "CVodeSetLinearSolver", memory, solver, matrix)
    call("cvode", "CVodeSetJacFn", memory, jacobian)
    found, reached, number, counts = np.empty((len(times), ode.n)), c_double(), c_long(), {}
    try:
        for k, t in enumerate(times):
            end = c_double(t), state, pointer_to(reached), c_int(NORMAL)
            call("cvode", "CVode", memory, *end)
            found[k] = y
        for key, name in COUNTERS.items():
            call("cvode", f"CVodeGet{name}", memory, pointer_to(number))
            counts[key] = number.value
    finally:
        call("cvode", "CVodeFree", pointer_to(memory), result=None)
        call("core", "SUNLinSolFree", solver)
        call("core", "SUNMatDestroy", matrix, result=None)
        call("core", "N_VDestroy", state, result=None)
        call("core", "SUNContext_Free", pointer_to(context))
    return found, counts


def pointer_to(value):
    """The address of a ctypes value."""
    return c_void_p(addressof(value))
