"""Precisions that are `auto`, and a word on bfloat16 where the device only emulates it."""

from typing import Any

from recbole_specgr.system.bfloat16 import has_bfloat16

PRECISIONS = ("precision", "decoding_precision")


def choose_precision(settings: dict[str, Any]) -> None:
    """Replace `auto`, also in stages: bf16 on a device that computes in it, else fp32."""
    for group in (settings, *settings["stages"].values()):
        for name in PRECISIONS:
            if group.get(name) == "auto":
                group[name] = "bf16" if has_bfloat16(settings["device"]) else "fp32"


def slow_precision(settings: dict[str, Any]) -> list[str]:
    """A sentence for each setting that asks for bfloat16 of a device that only emulates it."""
    asked = {key: settings.get(key) for key in PRECISIONS}
    asked |= {f"stages.{name}.precision": stage.get("precision") for name, stage in settings["stages"].items()}
    names = [key for key, value in asked.items() if value == "bf16"]
    if not names or has_bfloat16(settings["device"]):
        return []
    device = settings["device"].type
    return [
        f"[{name}: bf16]: this {device} has no arithmetic for bfloat16 and emulates it, about twice as slow as fp32. "
        "Take fp32, or auto."
        for name in names
    ]
