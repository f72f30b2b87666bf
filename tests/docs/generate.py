"""Writes what the documentation takes from the code: `make docs`. A test fails while any of it is stale."""

from tests.adversary import page as adversary_page

from . import command_pages, coverage_page, escape_table, schemas, settings_tables
from .markdown import DOCS

PAGES = {
    DOCS / "reference" / "configuration.md": settings_tables.refreshed,
    DOCS / "reference" / "cli.md": command_pages.refreshed,
    DOCS / "reference" / "mcp-coverage.md": coverage_page.refreshed,
    DOCS / "security" / "adversary.md": adversary_page.refreshed,
    DOCS / "guides" / "langchain.md": escape_table.refreshed,
}


def main() -> None:
    """Bring pages and schemas up to date."""
    for path, refreshed in PAGES.items():
        path.write_text(refreshed(path.read_text("utf-8")), "utf-8")
    schemas.FOLDER.mkdir(parents=True, exist_ok=True)
    for stale in {path.name for path in schemas.FOLDER.glob("*.json")} - schemas.schemas().keys():
        (schemas.FOLDER / stale).unlink()
    for name, text in schemas.schemas().items():
        (schemas.FOLDER / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
