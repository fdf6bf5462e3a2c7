"""The common command line of the benchmarks: it runs all parts or those that are named."""

import argparse


def run(description, parts, quick):
    """Run the parts that the command line names, at their smallest sizes with ``--quick``.

    Args:
        description: description of the script.
        parts: the functions by name; the first line of the docstring of each is printed.
        quick: the arguments of each function for the smallest size, by name.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(parts))
    parser.add_argument("--quick", action="store_true", help="smallest sizes")
    arguments = parser.parse_args()
    chosen = arguments.parts or list(parts)
    if unknown := set(chosen) - parts.keys():
        parser.error(f"unknown part {', '.join(unknown)}; parts are {', '.join(parts)}")
    for name in chosen:
        print(f"\n== {name}: {parts[name].__doc__.splitlines()[0]}", flush=True)
        parts[name](**(quick[name] if arguments.quick else {}))
