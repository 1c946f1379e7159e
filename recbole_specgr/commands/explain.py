"""`recbole-specgr explain`: why an item stands in a user's list, or why not."""

from recbole_specgr.commands.finished_run import load, run_parser
from recbole_specgr.serving.show import user_interactions

EXAMPLES = """
my_run --user 796 --item 50
my_run --history 50 172 181 --item 210 --k 20
"""


def run(words: list[str]) -> int:
    parser = run_parser("explain", "Why an item stands in a user's list, or why not.", EXAMPLES)
    parser.add_argument("--item", required=True, help="the item's id in the data set")
    whose = parser.add_mutually_exclusive_group(required=True)
    whose.add_argument("--user", help="a user of the data set, with everything that the user did")
    whose.add_argument("--history", nargs="+", metavar="ITEM", help="items in their order, the latest last")
    parser.add_argument("--times", nargs="+", metavar="TIME", help="when each item of --history was used")
    parser.add_argument("--k", type=int, default=50, help="length of the list (50)")
    arguments = parser.parse_args(words)
    recommender = load(arguments)
    history, times = arguments.history, arguments.times
    if arguments.user is not None:
        history, times = user_interactions(recommender, arguments.user)
    print(recommender.explain(history, arguments.item, arguments.k, times=times))
    return 0
