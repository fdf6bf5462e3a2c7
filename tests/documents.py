"""The code in the project's documents: blocks, commands, links."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCUMENTS = [
    ROOT / name
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "paper_figures/README.md",
                 "meshes/README.md")
] + [page for page in sorted((ROOT / "docs").rglob("*.md"))
     if "_build" not in page.relative_to(ROOT).parts]  # fmt: skip

# fences of MyST, by what is in them: a cell of a notebook, and markup for Sphinx
DIRECTIVES = {"{code-cell}": "python", "{eval-rst}": "rst"}
WORDS = ("uf-diffusion", "make", "python", "mpiexec", "pytest", "pip", "conda", "sbatch", "ruff",
         "mypy", r"scripts/\S+\.sh", "git", "cp", "cd")  # fmt: skip
COMMAND = re.compile(rf"(?:\w+=\S+ )*(?:{'|'.join(WORDS)})(?: \S.*)?$")
BLOCK = re.compile(
    r"^```(?P<language>[\w{}-]*)[^\n]*\n(?P<fenced>.*?)^```$|(?<=\n\n)(?P<indented> {4}[^\n]*\n(?: {4}[^\n]*\n|\n)*)",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A block of code: its language, "" where it is indented or says none, and its text."""

    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The file that it is, if its first line is a comment with a file's name alone."""
        match = re.match(r"# (\w+\.(?:py|toml))$", self.text.split("\n")[0])
        return match and match[1]


def blocks(text: str) -> list[Block]:
    """The fenced and the indented blocks, in their order."""
    found = []
    for match in BLOCK.finditer(text):
        code = match["fenced"]
        if code is None:
            code = re.sub(r"^ {4}", "", match["indented"], flags=re.MULTILINE)
        language = match["language"] or ""
        found.append(Block(DIRECTIVES.get(language, language), code.rstrip()))
    return found


def prose(text: str) -> str:
    """The text without its blocks."""
    return BLOCK.sub("", text)


def commands(text: str) -> list[str]:
    """The shell commands in blocks and in the prose, without comments, in their order.

    Raises:
        ValueError: for a line that is a command, but starts with none of `WORDS`.
    """
    found = []
    for block in blocks(text):
        if block.language in ("", "sh"):
            for line in block.text.replace("\\\n", "").split("\n"):
                line = re.sub(r"(^|\s+)# .*$", "", line).strip()
                if COMMAND.match(line):
                    found.append(line)
                elif line and (block.language == "sh" or shutil.which(line.split()[0])):
                    raise ValueError(f"'{line}' is no command that the tests know")
    for inline in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose(text)):
        line = " ".join(inline.split())
        if COMMAND.match(line) and " " in line:
            found.append(line)
    return list(dict.fromkeys(found))


def links(text: str) -> list[str]:
    """The targets of links and pictures, and the pages of tables of contents."""
    pages = []
    for contents in re.findall(r"^:::\{toctree\}\n(.*?)^:::$", text, re.MULTILINE | re.DOTALL):
        pages += [f"{line}.md" for line in contents.split("\n") if re.match(r"\w", line)]
    return re.findall(r"\]\(([^)\s]+)\)", text) + pages
