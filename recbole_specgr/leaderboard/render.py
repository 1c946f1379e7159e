"""Everything that is rendered, drawn anew from records, studies and about.yaml: the same input gives the same bytes."""

from collections.abc import Iterator
from pathlib import Path

from recbole_specgr.cache import atomic_write
from recbole_specgr.leaderboard.archive import read_archive
from recbole_specgr.leaderboard.formats import to_csv, to_latex, to_markdown
from recbole_specgr.leaderboard.published import About, published_results, read_about
from recbole_specgr.leaderboard.summary import Board, summarise
from recbole_specgr.leaderboard.table import (
    confidence_table,
    cost_table,
    every_number,
    metrics_by_model,
    models_by_part,
    protocol_line,
    published_table,
    remarks,
    results_table,
)

TABLES = "tables"  # leaderboards/<dataset>/tables holds rendered files only


def render_all(leaderboards: Path) -> list[Path]:
    """Render every data set's files and return what was written. Raises UserError for a record that is refused."""
    written = []
    for folder in sorted(path for path in leaderboards.glob("*/") if not path.name.startswith(".")):
        written += _render_dataset(leaderboards, folder.name)
    return written


def _render_dataset(leaderboards: Path, dataset: str) -> list[Path]:
    boards, about = summarise(read_archive(leaderboards, dataset)), read_about(leaderboards, dataset)
    folder = leaderboards / dataset
    written = dict(_tables(boards, folder / TABLES))
    written[folder / "README.md"] = _readme(boards, about)
    for path, text in written.items():
        write_text(path, text)
    for path in set((folder / TABLES).glob("*")) - written.keys():
        path.unlink()  # of a protocol that is gone
    return sorted(written)


def _tables(boards: list[Board], folder: Path) -> Iterator[tuple[Path, str]]:
    for board in boards:
        name = board.record["protocol_hash"]
        yield folder / f"{name}.csv", to_csv(every_number(board))
        yield folder / f"{name}.metrics.tex", to_latex(metrics_by_model(board))
        yield folder / f"{name}.parts.tex", to_latex(models_by_part(board))


def _readme(boards: list[Board], about: About) -> str:
    parts = [f"# {about.title}", about.description, about.source]
    parts += [f"    {about.get_it}" if about.get_it else "", "\n".join(f"- {note}" for note in about.notes)]
    for board in boards:
        parts += [f"## {protocol_line(board)}", to_markdown(results_table(board))]
        parts += [to_markdown(confidence_table(board)), to_markdown(cost_table(board))]
        if about.paper:
            beside = published_table(board, published_results(about.paper), about.paper)
            parts.append(to_markdown(beside) if beside else "")
        parts += remarks(board)
    return "\n\n".join(part for part in parts if part) + "\n"


def write_text(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
