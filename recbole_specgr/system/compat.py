"""What RecBole 1.2.1 needs to run beside today's numpy."""

import numpy as np

# Names RecBole uses that numpy 1.24 or numpy 2 removed. `np.bool` and `np.long` came back in numpy 2.
_ALIASES = {
    "bool": np.bool_,
    "int": int,
    "float": float,
    "complex": complex,
    "object": object,
    "str": str,
    "long": np.int64,
    "unicode": str,
}


def alias_numpy() -> None:
    """Give numpy back the scalar aliases that RecBole calls (`np.float(...)`).

    RecBole sets them itself in `Config.__init__`, from names numpy 2 no longer has; and a process that only loads a
    checkpoint never gets there. Names that exist are left alone.
    """
    for name, value in _ALIASES.items():
        if name not in np.__dict__:
            setattr(np, name, value)
