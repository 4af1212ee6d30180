"""The lesson's questions: what is asked, how an answer is checked, and what helps when it is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from model import Sampling


@dataclass(frozen=True)
class Verdict:
    """What the lesson says about an answer."""

    right: bool
    words: str


@dataclass(frozen=True)
class Choice:
    """A question with answers to choose from; each answer has its own reply."""

    ask: str
    right: str
    replies: Mapping[str, str]
    hints: tuple[str, ...]

    def check(self, answer: str) -> Verdict:
        """Judge the answer that was chosen."""
        return Verdict(answer == self.right, self.replies[answer])


@dataclass(frozen=True)
class Number:
    """A question whose answer is a number; well-known mistakes get replies of their own."""

    ask: str
    unit: str
    right: float
    why: str
    hints: tuple[str, ...]
    mistakes: Mapping[float, str]

    def check(self, answer: str) -> Verdict:
        """Judge what was typed; a comma is as good as a point."""
        try:
            value = float(answer.replace(",", ".").replace(self.unit, "").strip())
        except ValueError:
            return Verdict(False, "Please type a number, for example 4.5.")
        if abs(value - self.right) < 0.01:
            return Verdict(True, self.why)
        return Verdict(False, self.mistakes.get(value, "Not quite. Try a hint, or try it out with the sliders above."))


@dataclass(frozen=True)
class Setting:
    """A task: turn the sliders until a wave of ``wave`` Hz looks like one of ``target`` Hz."""

    ask: str
    wave: float
    target: float
    hints: tuple[str, ...]

    def check(self, sampling: Sampling) -> Verdict:
        """Judge where the sliders stand."""
        if sampling.wave != self.wave:
            return Verdict(False, f"The wave stands at {sampling.wave:g} Hz; first set it to {self.wave:g} Hz.")
        if abs(sampling.seen) == self.target:
            way = "forwards" if sampling.seen > 0 else "backwards"
            return Verdict(
                True,
                f"With {sampling.rate:g} looks a second it seems to turn {way} at {self.target:g} Hz. "
                "8 and 10 looks both do it: one runs forwards, one backwards.",
            )
        return Verdict(False, f"With {sampling.rate:g} looks a second it looks like {abs(sampling.seen):g} Hz.")


MIRROR = Number(
    ask="A wheel turns <b>7</b> times a second. A camera takes <b>10</b> pictures a second. "
    "How fast does the wheel seem to turn?",
    unit="Hz",
    right=3,
    why="7 − 10 = −3: three turns a second, and backwards. "
    "Seven tenths of a turn forwards look just like three tenths back.",
    hints=(
        "Between two pictures the wheel makes 0.7 of a turn. Which shorter way round ends in the same place?",
        "Take away one whole picture rate: 7 − 10 = …",
    ),
    mistakes={
        7: "That is how fast it really turns. But is 10 more than twice 7?",
        -3: "Right in size and direction! Type it without the sign: how <i>fast</i> does it seem to turn?",
        17: "Adding the rate fits the pictures too, but we believe the slowest wheel that fits.",
    },
)
MUSIC = Choice(
    ask="People hear up to about 20,000 Hz. How often must a recorder sample the sound, at the least?",
    right="A little more than 40,000 times a second",
    replies={
        "About 20,000 times a second": "That is one look for each swing: the highest note would seem to stand still.",
        "A little more than 40,000 times a second": "More than two looks for each swing. A CD takes 44,100.",
        "At least 200,000 times a second": "That works too, but it is five times too many. What is the least?",
    },
    hints=("The rule above: the rate must be more than twice the highest frequency.",),
)
DISGUISE = Setting(
    ask="Use the two sliders in part 1: make a wave of <b>9 Hz</b> look like one of <b>1 Hz</b>. Then press Check.",
    wave=9,
    target=1,
    hints=("Set the wave to 9 Hz. Which rates are exactly 1 away from 9?", "Try 8 or 10 looks a second."),
)
FALSE_WAVE = Number(
    ask="Somebody reads the thermometer once in <b>25 hours</b>. How many days long is the false wave?",
    unit="days",
    right=25,
    why="Each reading is one hour later in the day, "
    "so it takes 24 readings × 25 hours = 600 hours = 25 days to come round.",
    hints=(
        "Each reading is taken one hour later in the day than the one before.",
        "After 24 readings the clock shows the same hour again. How long do 24 readings take?",
    ),
    mistakes={
        24: "24 readings, yes, but they are taken 25 hours apart. How many days is that?",
        1: "One day is the real wave. Move the slider to 25 and count the days from top to top.",
        600: "600 hours is right. And in days?",
    },
)
