"""Comments of fields and constants as their documentation, for the documentation site.

A field of a struct or config is described by a comment behind it or above it. mkdocstrings reads
docstrings alone; this Griffe extension hands it those comments.
"""

import re
from typing import Any

import griffe

SECTION = "Attributes:"


class FieldComments(griffe.Extension):
    """Lists commented fields in their class's docstring, and gives constants their comments."""

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Called by Griffe when a class's members are known."""
        fields = {name: comment_of(found) for name, found in attributes_of(cls).items()}
        described = "".join(f"\n  {name}: {text}" for name, text in fields.items() if text)
        if cls.docstring is not None and SECTION not in cls.docstring.value and described:
            cls.docstring.value = f"{cls.docstring.value.rstrip()}\n\n{SECTION}{described}\n"
        # Griffe gives an attribute that it has not found the type of the one before it.
        for name in listed(cls.docstring.value if cls.docstring is not None else ""):
            if name not in cls.members:
                cls.set_member(name, griffe.Attribute(name))

    def on_module_members(self, *, mod: griffe.Module, **_: Any) -> None:
        """Called by Griffe when a module's members are known."""
        for name, found in attributes_of(mod).items():
            if found.docstring is None and name.isupper() and (text := comment_of(found)):
                found.docstring = griffe.Docstring(text, lineno=found.lineno, parent=found)


def attributes_of(owner: griffe.Object) -> dict[str, griffe.Attribute]:
    """Public attributes by name, in the order of the source."""
    return {
        name: member
        for name, member in owner.members.items()
        if isinstance(member, griffe.Attribute) and not name.startswith("_")
    }


def listed(docstring: str) -> list[str]:
    """Names that a docstring's section of attributes describes."""
    _, _, section = docstring.partition(f"{SECTION}\n")
    return re.findall(r"^ {2}(\w+):", section.split("\n\n")[0], re.MULTILINE)


def comment_of(attribute: griffe.Attribute) -> str:
    """The comment behind a field or constant, or the comment lines right above it; or nothing."""
    path = attribute.filepath
    if attribute.lineno is None or isinstance(path, list):  # a namespace package has several
        return ""
    lines = attribute.lines_collection[path]
    _, mark, behind = lines[(attribute.endlineno or attribute.lineno) - 1].partition("  # ")
    if mark:
        return behind.strip()
    above: list[str] = []
    for line in reversed(lines[: attribute.lineno - 1]):
        if not line.lstrip().startswith("# "):
            break
        above.insert(0, line.strip().removeprefix("# "))
    return " ".join(above)
