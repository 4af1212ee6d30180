"""The lesson on the screen: two things to play with, four questions, and how far the learner has come."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import ipywidgets as w
import numpy as np
import plotly.graph_objects as go
from model import Sampling, apparent_days, curve, every, temperatures
from questions import DISGUISE, FALSE_WAVE, MIRROR, MUSIC, Choice, Number, Setting

HERE = Path(__file__).parent
TRUE, SEEN = "#94a3b8", "#9061f9"
PRAISE = ("Right!", "Yes!", "Exactly!", "Well done!")
CREDIT = (
    "<p>Temperatures: NOAA National Centers for Environmental Information, U.S. Climate Normals 1981–2010, hourly "
    "normals for Seattle (U.S. Government work, public domain), as published in <i>vega-datasets</i>.</p>"
)


def style() -> w.HTML:
    """The app's style sheet, as something that can be displayed."""
    return w.HTML(f"<style>{(HERE / 'style.css').read_text(encoding='utf-8')}</style>", layout=w.Layout(display="none"))


def figure(height: int) -> go.FigureWidget:
    """An empty chart that fits its box, lets fingers scroll past and leaves its colours to the page."""
    layout = go.Layout(
        template="none",
        height=height,
        autosize=True,
        dragmode=False,
        showlegend=False,
        margin={"l": 44, "r": 8, "t": 8, "b": 42},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 13, "color": "#7b8798"},
    )
    chart = go.FigureWidget(layout=layout)
    chart.update_xaxes(fixedrange=True, zeroline=False, gridcolor="rgba(128,140,160,.25)")
    chart.update_yaxes(fixedrange=True, zeroline=False, gridcolor="rgba(128,140,160,.25)")
    chart._config = {"displayModeBar": False, "responsive": True}
    return chart


def slider(caption: str, value: int, low: int, high: int) -> tuple[w.IntSlider, w.VBox]:
    """A slider, and the same slider with a caption above it."""
    control = w.IntSlider(value, low, high, layout=w.Layout(width="100%"))
    return control, w.VBox([w.HTML(caption), control]).add_class("full")


class Wave:
    """Part 1: a turning wheel, looked at now and then."""

    def __init__(self) -> None:
        self.times = np.linspace(0, 1, 481)
        self.wave, wave = slider("Turns of the wheel <b>each second</b>", 9, 1, 20)
        self.rate, rate = slider("Our looks <b>each second</b>", 40, 4, 60)
        self.chart, self.wheels, self.readout = figure(260), w.HTML(), w.HTML()
        line = {"color": TRUE, "width": 1.5}
        self.chart.add_scatter(x=self.times, mode="lines", line=line, hoverinfo="skip")
        self.chart.add_scatter(
            x=self.times, mode="lines", line={"color": SEEN, "width": 2.5, "dash": "dot"}, hoverinfo="skip"
        )
        self.chart.add_scatter(
            mode="markers", marker={"color": SEEN, "size": 9}, hovertemplate="%{x:.3f} s<extra></extra>"
        )
        self.chart.update_xaxes(title_text="Seconds", range=[-0.01, 1.01])
        self.chart.update_yaxes(range=[-1.15, 1.15], tickvals=[-1, 0, 1])
        for control in (self.wave, self.rate):
            control.observe(self._changed, "value")
        self._changed(None)
        key = w.HTML(
            f'<div class="key"><span><i style="border-color:{TRUE}"></i>the wheel</span>'
            '<span><i class="dots"></i>our looks</span>'
            f'<span><i style="border-color:{SEEN};border-top-style:dotted"></i>what we think we see</span></div>'
        )
        title = w.HTML("<h2>Try it</h2><p>Turn the second slider down slowly and watch the right wheel.</p>")
        sliders = w.Box([wave, rate]).add_class("sliders")
        card = w.VBox([title, sliders, self.wheels, key, self.chart, self.readout]).add_class("panel")
        self.box = w.VBox([card]).add_class("ex")

    @property
    def sampling(self) -> Sampling:
        """Where the sliders stand."""
        return Sampling(self.wave.value, self.rate.value)

    def _changed(self, _change: object) -> None:
        now = self.sampling
        looks = np.arange(now.rate + 1) / now.rate
        with self.chart.batch_update():
            self.chart.data[0].y = curve(now.wave, self.times)
            self.chart.data[1].y = curve(now.seen, self.times)
            self.chart.data[2].update(x=looks, y=curve(now.wave, looks))
        standing = " (standing)" if now.seen == 0 else " (backwards)" if now.seen < 0 else ""
        right = wheel(now.seen, f"what we see: <b>{abs(now.seen):g} Hz</b>{standing}")
        self.wheels.value = f'<div class="wheels">{wheel(now.wave, f"the wheel: <b>{now.wave:g} Hz</b>")}{right}</div>'
        self.readout.value = f'<div class="readout" role="status">{now.words}</div>'


def wheel(turns: float, caption: str) -> str:
    """A wheel that turns, ten times slower than it says, so that a screen can show it."""
    spokes = "".join(
        f'<line class="spoke" x1="50" y1="50" x2="{50 + 42 * math.cos(a):.1f}" y2="{50 + 42 * math.sin(a):.1f}"/>'
        for a in (math.tau * i / 8 for i in range(8))
    )
    time = f"{10 / abs(turns):.3f}s" if turns else "0s"
    way = "reverse" if turns < 0 else "normal"
    return (
        f'<figure><svg class="wheel" viewBox="0 0 100 100" aria-hidden="true" style="--time:{time};--way:{way}"><g>'
        f'<circle class="tyre" cx="50" cy="50" r="45"/>{spokes}'
        '<line class="mark" x1="50" y1="50" x2="50" y2="12"/></g></svg>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


class Thermometer:
    """Part 3: the same with real temperatures."""

    def __init__(self) -> None:
        self.series = temperatures(HERE / "seattle-hourly.csv")
        self.hours, control = slider("Hours <b>from one reading to the next</b>", 6, 1, 30)
        self.chart, self.readout = figure(300), w.HTML()
        self.chart.add_scatter(
            x=self.series.index,
            y=self.series,
            mode="lines",
            line={"color": TRUE, "width": 0.8},
            opacity=0.6,
            hoverinfo="skip",
        )
        self.chart.add_scatter(
            mode="lines+markers",
            line={"color": SEEN, "width": 1.5},
            marker={"color": SEEN, "size": 5},
            hovertemplate="%{x|%d %b, %H:%M}: %{y} °C<extra></extra>",
        )
        self.chart.update_yaxes(title_text="°C")
        self.chart.update_xaxes(tickformat="%d %b", nticks=6)
        self.hours.observe(self._changed, "value")
        self._changed(None)
        title = w.HTML(
            "<h2>A thermometer in Seattle</h2><p>Grey: every hour. Purple: the readings, joined by lines.</p>"
        )
        card = w.VBox([title, control, self.chart, self.readout]).add_class("panel")
        self.box = w.VBox([card]).add_class("ex")

    def _changed(self, _change: object) -> None:
        hours = self.hours.value
        read = every(hours, self.series)
        with self.chart.batch_update():
            self.chart.data[1].update(x=read.index, y=read, mode="lines+markers" if hours > 12 else "lines")
        days = apparent_days(hours)
        if hours < 12:
            words = f"{24 / hours:.3g} readings a day: the days can be told from the nights."
        elif hours == 12:
            words = "Exactly two readings a day: the limit of what can work."
        elif math.isinf(days):
            words = "Always at the same hour: day and night <b>vanish</b>, only the summer is left."
        else:
            words = f"Day and night turn into a false wave of <b>{days:.1f} days</b>. No weather does that."
        self.readout.value = f'<div class="readout" role="status">{words}</div>'


class Card:
    """A question with its answers, hints and replies; ``answer`` says where to look when nothing is typed or chosen."""

    def __init__(
        self,
        question: Choice | Number | Setting,
        number: int,
        solved: Callable[[], None],
        answer: Callable[[], object] | None = None,
    ) -> None:
        self.question, self.number, self.solved, self.right, self.hint = question, number, solved, False, 0
        self.reply, self.typed = w.HTML(), w.Text(placeholder=getattr(question, "unit", ""))
        self.answer = answer or (lambda: self.typed.value)
        ask = w.HTML(f'<div class="tag">Question {number}</div><div class="ask">{question.ask}</div>')
        self.box = w.VBox([ask, *self._controls(), self.reply]).add_class("panel").add_class("question")

    def _controls(self) -> list[w.Widget]:
        help_me = w.Button(description="Hint", tooltip="Show a hint")
        help_me.on_click(self._give_hint)
        if isinstance(self.question, Choice):
            buttons = [w.Button(description=words).add_class("answer") for words in self.question.replies]
            for button in buttons:
                button.on_click(lambda pressed: self.judge(pressed.description))
            return [*buttons, w.HBox([help_me]).add_class("row")]
        check = w.Button(description="Check").add_class("check")
        check.on_click(lambda _button: self.judge(self.answer()))
        fields = [self.typed] if isinstance(self.question, Number) else []
        return [w.HBox([*fields, check, help_me]).add_class("row")]

    def _give_hint(self, _button: w.Button) -> None:
        hints = self.question.hints
        words = hints[min(self.hint, len(hints) - 1)]
        self.hint += 1
        self.reply.value = f'<div class="verdict hint" role="status"><b>Hint.</b> {words}</div>'

    def judge(self, answer: object) -> None:
        """Check an answer and say what it is worth."""
        verdict = self.question.check(answer)  # type: ignore[arg-type]
        first = PRAISE[self.number % len(PRAISE)] if verdict.right else "Not yet."
        kind = "verdict right" if verdict.right else "verdict"
        self.reply.value = f'<div class="{kind}" role="status"><b>{first}</b> {verdict.words}</div>'
        if verdict.right and not self.right:
            self.right = True
            self.solved()


class Lesson:
    """The whole lesson; a notebook shows its parts one by one."""

    def __init__(self) -> None:
        self.wave, self.thermometer = Wave(), Thermometer()
        self.cards = [
            Card(MIRROR, 1, self._solved),
            Card(MUSIC, 2, self._solved),
            Card(DISGUISE, 3, self._solved, lambda: self.wave.sampling),
            Card(FALSE_WAVE, 4, self._solved),
        ]
        self.progress, self.ending = w.HTML(), w.HTML().add_class("panel").add_class("end")
        self._solved()

    def question(self, number: int) -> w.VBox:
        """Show one of the questions."""
        return w.VBox([self.cards[number - 1].box]).add_class("ex")

    def bar(self) -> w.VBox:
        """Show how far the learner has come; it stays in a corner of the page."""
        return w.VBox([self.progress]).add_class("ex")

    def end(self) -> w.VBox:
        """Close the lesson."""
        return w.VBox([self.ending, w.HTML(CREDIT).add_class("credit")]).add_class("ex")

    def _solved(self) -> None:
        done, total = sum(card.right for card in self.cards), len(self.cards)
        self.progress.value = (
            f'<div class="progress" role="status"><div class="track">'
            f'<span style="width:{100 * done / total:.0f}%"></span></div>'
            f"{done} of {total} solved</div>"
        )
        words = (
            "All solved. You will never trust a wagon wheel in a film again."
            if done == total
            else "Come back to what is still open."
        )
        self.ending.value = f"<b>{'★' * done}{'☆' * (total - done)}</b><p>{words}</p>"
