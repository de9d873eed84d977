"""What took time in a request, for Server-Timing."""

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Timings:
    """Seconds by phase. `queue` is the time from arrival until the engine or the store was asked."""

    arrived_at: float = field(default_factory=time.monotonic)
    queue_s: float | None = None
    inference_s: float | None = None
    gallery_s: float | None = None

    def leave_queue(self) -> None:
        """The body is read and understood; work begins."""
        self.queue_s = time.monotonic() - self.arrived_at

    def header(self) -> str:
        """The value of Server-Timing, in milliseconds."""
        phases = (("queue", self.queue_s), ("inference", self.inference_s), ("gallery", self.gallery_s))
        total = f"total;dur={(time.monotonic() - self.arrived_at) * 1000:.3f}"
        return ", ".join(
            [f"{name};dur={seconds * 1000:.3f}" for name, seconds in phases if seconds is not None] + [total]
        )
