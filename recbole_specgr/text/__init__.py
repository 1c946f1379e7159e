"""Item text -> text vectors."""
