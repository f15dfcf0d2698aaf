"""Links of the documentation to files outside of it, for the documentation site.

In the repository a page may link to such a file; on the site the page that stands for it is meant.
"""

from typing import Any

PAGES = {"../experiments/README.md": "experiments.md"}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by MkDocs with the text of each page."""
    for file, page in PAGES.items():
        markdown = markdown.replace(f"]({file})", f"]({page})")
    return markdown
