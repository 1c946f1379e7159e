"""`recbole-specgr show`: a user's history, and what the user does not know yet."""

from recbole_specgr.commands.finished_run import load, run_parser
from recbole_specgr.serving.show import user_page

EXAMPLES = """
my_run --user 796 --k 10
"""


def run(words: list[str]) -> int:
    parser = run_parser("show", "A user's history, and the best items that are not in it.", EXAMPLES)
    parser.add_argument("--user", required=True, help="the user's id in the data set")
    parser.add_argument("--k", type=int, default=10, help="length of the list (10)")
    arguments = parser.parse_args(words)
    print(user_page(load(arguments), arguments.user, arguments.k))
    return 0
