"""The words that a command hands on to every run that it makes."""

from typing import Any

from recbole_specgr.settings.arguments import parse
from recbole_specgr.system.errors import UserError


def settings_of_runs(words: list[str], command: str, models: str) -> dict[str, Any]:
    """The settings that such words give.

    Args:
        words: those that the command has no use for itself.
        command: whose words they are, for error messages.
        models: where it says what is trained, for error messages.

    Raises:
        UserError: they name a model or files, which would have no effect.
    """
    arguments = parse(words)
    if arguments.model is not None:
        raise UserError(f"{command} does not take [--model={arguments.model}]: what it trains is said by {models}.")
    if arguments.config_files:
        files = " ".join(arguments.config_files)
        raise UserError(
            f"{command} does not take [--config_files {files}]: give what is in them as --key=value, or put it into "
            f"properties/ of your working directory."
        )
    return arguments.settings
