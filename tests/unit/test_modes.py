"""How an app opens, said to its author."""

from __future__ import annotations

from typing import Any

from vaas.runtime.modes import Verdict, advice


def said(*hindrances: tuple[str, str], hooked: bool = False, kept: tuple[int, int] = (0, 0)) -> dict[str, Any]:
    found = [{"kind": kind, "text": text} for kind, text in hindrances]
    return {"hindrances": found, "hooked": hooked, "kept": list(kept)}


def test_nothing_found_is_nothing_in_the_way() -> None:
    assert Verdict.of(said(), sandboxed=True) == Verdict()
    assert Verdict.of(said(kept=(500, 50_000_000)), sandboxed=True).hindrances == ()


def test_who_opens_connections_and_files_again_may_have_them_open_and_threads_not() -> None:
    three = (("connections", "c"), ("files", "f"), ("threads", "t"))
    assert Verdict.of(said(*three), sandboxed=True).hindrances == three
    assert Verdict.of(said(*three, hooked=True), sandboxed=True).hindrances == (("threads", "t"),)


def test_temporary_files_are_copied_for_each_fork_and_so_bounded() -> None:
    for kept, words in (((501, 0), "501 temporary files"), ((11, 60_000_000), "60.0 MB in temporary files")):
        ((kind, text),) = Verdict.of(said(kept=kept), sandboxed=True).hindrances
        assert kind == "space" and text == f"the notebook keeps {words}"
    assert Verdict.of(said(kept=(1, 0)), sandboxed=False).hindrances, "a fork would not find it in another folder"


def test_what_a_kernel_says_is_bounded() -> None:
    verdict = Verdict.of(said(*[("threads", "x" * 9999)] * 99), sandboxed=True)
    assert verdict.hindrances == (("threads", f"{'x' * 200} (99 times)"),)
    verdict = Verdict.of(said(*[("threads", f"{number}{'x' * 9999}") for number in range(99)]), sandboxed=True)
    assert len(verdict.hindrances) <= 10 and max(len(text) for _, text in verdict.hindrances) <= 200


def test_advice_is_a_sentence_for_each_kind_and_says_what_to_do() -> None:
    lines = advice([("threads", "a thread runs: A"), ("files", "a file is open"), ("threads", "a thread runs: B")])
    assert lines == [
        "A thread runs: A; a thread runs: B. Start threads in a callback, or in a function that is given to "
        "vaas.on_visit().",
        "A file is open. Close files after writing (with open(…) as file), or open them in a function that is given to "
        "vaas.on_visit().",
    ]
    assert advice([("unheard of", "something is odd")]) == ["Something is odd."]
    assert advice([]) == []


def test_another_kernel_is_named() -> None:
    (line,) = advice(Verdict.of_another_kernel("ir").hindrances)
    assert "“ir”" in line and line[0] == "T"
