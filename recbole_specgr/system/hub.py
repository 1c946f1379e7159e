"""The Hugging Face hub: whether it is there, asked quickly."""


def reach_hub(seconds: float = 10) -> str:
    """The hub's address. Raises whatever the client raises when it can't be reached in time, or may not be asked.

    The client itself tries for a minute before it gives up.
    """
    from huggingface_hub import constants, get_session

    get_session().head(constants.ENDPOINT, timeout=seconds)
    return constants.ENDPOINT
