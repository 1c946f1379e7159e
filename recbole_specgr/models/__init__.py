"""One file a model: `models/<name in lower case>.py` holds the class `<Name>`, and that is its registration."""
