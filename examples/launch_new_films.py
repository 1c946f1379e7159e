"""Launch ten films that a trained model has never seen, and look at who gets them.

    python examples/launch_new_films.py [--KEY=VALUE ...]

Cells (`# %%`) run one by one in VS Code, Spyder or Jupytext. MovieLens 100k comes with RecBole. Ten well-known films
are taken out of it, ratings and all, and SpecGR++ is trained on the rest, which takes some minutes. Then the ten are
added with nothing but their year and genres. Since people did rate them, it is known who should get them. What is
written goes to `launch_new_films/` below the working directory; settings of the run may follow the command.
"""

# %% The films that are not there yet
import shutil
import sys
from pathlib import Path

import pandas as pd

from recbole_specgr.quick_start import run_recbole
from recbole_specgr.serving import Recommender
from recbole_specgr.settings.arguments import parse
from recbole_specgr.settings.datasets import find_dataset

NEW_FILMS = [
    "Toy Story",
    "Die Hard",
    "Alien",
    "Scream",
    "Snow White and the Seven Dwarfs",
    "Sense and Sensibility",
    "Fargo",
    "Contact",
    "Titanic",
    "Schindler's List",
]
FOLDER = Path("launch_new_films")

source = find_dataset("ml-100k", "dataset")
films = pd.read_csv(source / "ml-100k.item", sep="\t", dtype=str)
ratings = pd.read_csv(source / "ml-100k.inter", sep="\t", dtype=str)
new_films = films[films["movie_title:token_seq"].isin(NEW_FILMS)]
is_new = ratings["item_id:token"].isin(new_films["item_id:token"])

data = FOLDER / "dataset" / "ml-100k"
shutil.rmtree(FOLDER, ignore_errors=True)
data.mkdir(parents=True)
ratings[~is_new].to_csv(data / "ml-100k.inter", sep="\t", index=False)
films.drop(new_films.index).to_csv(data / "ml-100k.item", sep="\t", index=False)

# %% A model that has never seen them
places = {"data_path": str(FOLDER / "dataset"), "run_dir": str(FOLDER / "run")}
run = run_recbole("SpecGRPP", "ml-100k", config_dict={**places, **parse(sys.argv[1:]).settings})["run_dir"]

# %% The launch: no training, and nobody's id changes
recommender = Recommender.load(run)
recommender.add_items(new_films)

# %% Everyone's list of fifty
known = (
    ratings[~is_new]
    .assign(time=lambda table: table["timestamp:float"].astype(float))
    .sort_values("time", kind="stable")
)
histories = known.groupby("user_id:token")["item_id:token"].agg(list)
lists = recommender.recommend(histories.tolist(), k=50, exclude="history").frame(histories.index)

# %% Who gets a new film: those who did watch it, or anybody?
rows = []
for item, title, genres in new_films[["item_id:token", "movie_title:token_seq", "class:token_seq"]].itertuples(
    index=False
):
    gets = histories.index.isin(lists.loc[lists.item_id == item, "user_id"])
    watched = histories.index.isin(ratings.loc[ratings["item_id:token"] == item, "user_id:token"])
    rows.append((title, genres, gets.sum(), 100 * gets[watched].mean(), 100 * gets[~watched].mean()))
table = pd.DataFrame(rows, columns=["film", "genres", "lists", "% of its viewers", "% of others"])
print(table.round(1).to_string(index=False))
print(f"together: {table['% of its viewers'].mean():.1f} % of viewers, {table['% of others'].mean():.1f} % of others")

# %% One user, and why the first new film stands in the list
launched = lists[lists.item_id.isin(new_films["item_id:token"])]
if len(launched):
    first = launched.sort_values(["rank", "user_id"]).iloc[0]
    print(f"\nUser {first.user_id} gets at place {first['rank']}:")
    print(recommender.explain(histories[first.user_id], first.item_id))

# %% Kept for `recbole-specgr recommend launch_new_films/run ...`
recommender.save()
