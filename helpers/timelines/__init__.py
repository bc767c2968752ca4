"""Shows who waited when: the requests of a stretch of time as a picture, and the same in words."""

from helpers.timelines.recording import Recording, recorded
from helpers.timelines.run import Run
from helpers.timelines.show import Timeline, timeline

__all__ = ["Recording", "Run", "Timeline", "recorded", "timeline"]
