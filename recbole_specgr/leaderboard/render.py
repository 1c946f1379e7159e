"""Everything that is rendered, drawn anew from records, studies and about.yaml: the same input gives the same bytes."""

from collections.abc import Iterator
from pathlib import Path

from recbole_specgr.leaderboard.archive import read_archive
from recbole_specgr.leaderboard.formats import to_csv, to_latex, to_markdown
from recbole_specgr.leaderboard.page import NOTHING, DatasetPage, build_page
from recbole_specgr.leaderboard.plots.draw import to_svg
from recbole_specgr.leaderboard.plots.plot import Plot
from recbole_specgr.leaderboard.published import check_compared, published_beside, read_about
from recbole_specgr.leaderboard.reproduction import FILE as ROWS
from recbole_specgr.leaderboard.reproduction import rows_yaml
from recbole_specgr.leaderboard.small_table import reading
from recbole_specgr.leaderboard.study_data import StudyData, read_cells, slice_results, training_curves
from recbole_specgr.leaderboard.study_plots import study_plots
from recbole_specgr.leaderboard.study_view import study_grids
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
from recbole_specgr.leaderboard.views import picture, views
from recbole_specgr.studies.spec import Study, list_studies, read_study
from recbole_specgr.system.files import atomic_write

TABLES = "tables"  # leaderboards/<dataset>/tables holds rendered files only
PAGE = "index.html"
STUDIES = "studies"  # leaderboards/<dataset>/studies holds a folder of cells a study


def study_folder(leaderboards: Path, dataset: str, study: str) -> Path:
    return leaderboards / dataset / STUDIES / study


def study_data(study: Study, leaderboards: Path, dataset: str, boards: list[Board] | None = None) -> list[StudyData]:
    """What there is of a study: of the leaderboard's main protocol for slices and curves; nothing where nothing was
    measured.

    Args:
        boards: of the data set; None reads them.
    """
    if study.variants:
        found = [read_cells(study, study_folder(leaderboards, dataset, study.name))]
    else:
        boards = summarise(read_archive(leaderboards, dataset)) if boards is None else boards
        read = training_curves if study.curves else slice_results
        found = [read(study, board) for board in boards[:1]]
    return [data for data in found if data.points]


def render_all(leaderboards: Path) -> list[Path]:
    """Render every data set's files and return what was written. Raises UserError for a record that is refused."""
    names = sorted(path.name for path in leaderboards.glob("*/") if not path.name.startswith("."))
    pages = [_read(leaderboards, name) for name in names]
    written = [path for page in pages for path in _render_dataset(leaderboards / page.name, page)]
    write_text(leaderboards / PAGE, build_page(sorted(pages, key=lambda page: not page.boards)))  # with results first
    return [*written, leaderboards / PAGE]


def _read(leaderboards: Path, dataset: str) -> DatasetPage:
    boards = summarise(read_archive(leaderboards, dataset))
    studies = [data for name in list_studies() for data in study_data(read_study(name), leaderboards, dataset, boards)]
    about = read_about(leaderboards, dataset)
    check_compared(about, boards, leaderboards / dataset)
    return DatasetPage(dataset, about, boards, studies)


def _render_dataset(folder: Path, page: DatasetPage) -> list[Path]:
    written = dict(_tables(page.boards, folder / TABLES))
    written |= dict(_study_files(page.studies, folder / TABLES))
    if page.boards:
        written[folder / ROWS] = rows_yaml(page.boards)
    written[folder / "README.md"] = _readme(page)
    for path, text in written.items():
        write_text(path, text)
    for path in set((folder / TABLES).glob("*")) - written.keys():
        path.unlink()  # of a protocol that is gone
    return sorted(written)


def _tables(boards: list[Board], folder: Path) -> Iterator[tuple[Path, str]]:
    for board in boards:
        name = board.record["protocol_hash"]
        yield folder / f"{name}.csv", to_csv(every_number(board))
        yield folder / f"{name}.svg", to_svg(_picture(board))
        yield folder / f"{name}.metrics.tex", to_latex(metrics_by_model(board))
        yield folder / f"{name}.parts.tex", to_latex(models_by_part(board))


def _picture(board: Board) -> Plot:
    """The one that the page opens with."""
    return picture(next(views(board)))


def _study_files(studies: list[StudyData], folder: Path) -> Iterator[tuple[Path, str]]:
    for data in studies:
        grids = study_grids(data)
        yield folder / f"{data.study.name}.tex", "\n".join(map(to_latex, grids))
        yield folder / f"{data.study.name}.csv", to_csv(grids[0])
        for number, plot in enumerate(study_plots(data), 1):
            yield folder / f"{data.study.name}-{number}.svg", to_svg(plot)


def _readme(page: DatasetPage) -> str:
    about = page.about
    parts = [f"# {about.title}", about.description, about.source]
    parts += [f"    {about.get_it}" if about.get_it else "", "\n".join(f"- {note}" for note in about.notes)]
    if not page.boards:
        parts.append(NOTHING)
    for board, pairs in zip(page.boards, page.pairs):
        image = f"![{_picture(board).title}]({TABLES}/{board.record['protocol_hash']}.svg)"
        parts += [f"## {protocol_line(board)}", reading(board), image, to_markdown(results_table(board))]
        beside = published_table(board, published_beside(board, about))
        grids = [confidence_table(board), pairs, cost_table(board), beside]
        parts += [to_markdown(grid) for grid in grids if grid]
        parts += remarks(board)
    for data in page.studies:
        reproduces = f" ({data.study.reproduces} of the paper)" if data.study.reproduces else ""
        parts += [f"## {data.study.title}{reproduces}", *map(to_markdown, study_grids(data))]
        parts += [
            f"![{plot.title}]({TABLES}/{data.study.name}-{number}.svg)"
            for number, plot in enumerate(study_plots(data), 1)
        ]
    return "\n\n".join(part for part in parts if part) + "\n"


def write_text(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
