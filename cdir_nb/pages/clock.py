"""Durations in words."""


def clock(seconds: float) -> str:
    """Seconds as `m:ss`, or with tenths below ten seconds."""
    return f"{seconds:.1f} s" if seconds < 10 else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
