"""A hook of MkDocs: links from docs/ to files elsewhere in the repository work on the site as they do in a checkout.

Such a file becomes a part of the site, below `repository/`. A Markdown file among them becomes a page, and its own
links are followed in turn.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
SITE_FOLDER = "repository"
LINK = re.compile(r"(?<=\]\()([^)\s#:]+)")  # the path of [text](path#anchor); none of those with a protocol


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add every file of the repository that a page links to."""
    waiting = list(files.documentation_pages())
    while waiting:
        page = waiting.pop()
        for link in LINK.findall(page.content_string):
            path = _linked(page.src_uri, link)
            if path is None or files.get_file_from_path(_on_the_site(path)) is not None:
                continue
            file = File.generated(config, _on_the_site(path), abs_src_path=str(ROOT / path))
            files.append(file)
            if file.is_documentation_page():
                waiting.append(file)
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point the links at where the files are on the site."""

    def moved(link: re.Match[str]) -> str:
        path = _linked(page.file.src_uri, link[0])
        if path is None:
            return link[0]
        return posixpath.relpath(_on_the_site(path), posixpath.dirname(page.file.src_uri))

    return LINK.sub(moved, markdown)


def _linked(page: str, link: str) -> str | None:
    """The file that a page's link means, as a path in the repository; None where there is no such file.

    Args:
        page: the page's place on the site.
        link: the path that is written in the page.
    """
    folder = posixpath.dirname(page.removeprefix(SITE_FOLDER + "/") if _from_outside(page) else f"docs/{page}")
    path = posixpath.normpath(posixpath.join(folder, link))
    return path if not path.startswith("..") and (ROOT / path).is_file() else None


def _from_outside(page: str) -> bool:
    return page.startswith(SITE_FOLDER + "/")


def _on_the_site(path: str) -> str:
    return path.removeprefix("docs/") if path.startswith("docs/") else f"{SITE_FOLDER}/{path}"
