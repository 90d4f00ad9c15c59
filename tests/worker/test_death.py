"""What is made of an exit code, of the kernel's count and of last words; no worker takes part."""

import pytest
from rig.clock import Clock

from agent.worker.death import FRESH_S, LINE_BYTES, WORDS_BYTES, Death, LastWords, classify, clipped

SIGSEGV, SIGABRT, SIGKILL = -11, -6, -9


@pytest.fixture
def clock() -> Clock:
    return Clock()


def said(*lines: bytes) -> LastWords:
    words = LastWords()
    for line in lines:
        words.hear(line)
    return words


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (SIGSEGV, "SIGSEGV"),
        (-62, "signal 62"),
        (0, "exit code 0"),
        (1, "exit code 1"),
        (3221225477, "exit code 3221225477"),
    ],
)
def test_a_death_is_named_by_its_signal_or_exit_code(code: int, cause: str) -> None:
    death = classify(code, said(), oom_kills=0)

    assert death == Death(cause)


@pytest.mark.parametrize("oom_kills", [1, None], ids=["the count rose", "nobody counts"])
def test_a_kill_that_nobody_here_sent_is_taken_for_lack_of_memory(oom_kills: int | None) -> None:
    death = classify(SIGKILL, said(), oom_kills=oom_kills)

    assert (death.cause, death.is_out_of_memory) == ("out of memory", True)


def test_a_kill_while_the_kernel_counted_none_came_from_outside() -> None:
    death = classify(SIGKILL, said(b"std::bad_alloc\n"), oom_kills=0)

    assert death == Death("killed by SIGKILL from outside")


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (b"  what():  std::bad_alloc", "out of memory"),
        (b"CUDA error: out of memory", "out of memory"),
        (b"ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 9", "out of memory"),
        (b"numpy._core._exceptions._ArrayMemoryError: Unable to allocate 3.00 GiB", "out of memory"),
        (b"/build/ggml/src/ggml.c:3210: GGML_ASSERT(a->ne[2] == b->ne[2]) failed", "failed assertion"),
        (b"EngineError: llama_decode returned -3: no reason given", "engine error"),
    ],
    ids=lambda value: value.decode()[:20] if isinstance(value, bytes) else value,
)
def test_what_native_libraries_say_before_they_end_is_understood(line: bytes, cause: str) -> None:
    death = classify(SIGABRT, said(b"loading", line, b"Aborted"), oom_kills=0)

    assert (death.cause, death.is_out_of_memory) == (cause, cause == "out of memory")


def test_of_a_failed_assertion_the_place_in_the_source_is_told() -> None:
    death = classify(SIGABRT, said(b"/build/ggml/src/ggml.c:3210: GGML_ASSERT(secret) failed"), oom_kills=0)

    assert death.reason == "failed assertion (SIGABRT, ggml.c:3210: GGML_ASSERT)"


def test_before_the_first_prompt_the_last_line_is_told() -> None:
    death = classify(1, said(b"loading\n", b"ModuleNotFoundError: No module named 'x'\n", b"\n"), oom_kills=0)

    assert death.reason == "exit code 1 (ModuleNotFoundError: No module named 'x')"


def test_after_the_first_prompt_nothing_is_told_but_a_sign() -> None:
    words = said(b"loaded\n")
    words.seal()
    words.hear(b"cannot read the secret word\n")

    quiet = classify(SIGSEGV, words, oom_kills=0)
    words.hear(b"the secret word: failed to allocate the secret word\n")
    telling = classify(SIGSEGV, words, oom_kills=0)

    assert quiet.reason == "SIGSEGV"
    assert telling.reason == "out of memory (SIGSEGV, failed to allocate)"


def test_what_was_said_long_before_the_end_is_no_cause(clock: Clock) -> None:
    words = LastWords(clock)
    words.hear(b"failed to allocate a buffer, trying a smaller one\n")
    clock.now_s += FRESH_S + 1

    death = classify(SIGSEGV, words, oom_kills=0)

    assert death == Death("SIGSEGV")


def test_a_flood_of_words_takes_no_more_than_its_room() -> None:
    words = said(*[b"x" * (10 * LINE_BYTES)] * 100, b"the last line")

    held = sum(len(line) for _, line in words._lines)

    assert held <= WORDS_BYTES
    assert words.told() == "the last line"


def test_a_long_line_is_cut_and_stays_one_line() -> None:
    cut = clipped("one\ntwo\t" + "x" * 1000)

    assert len(cut) == 200
    assert cut.startswith("one two xxx")
    assert cut.endswith("...")


def test_a_death_is_told_with_what_the_worker_was_doing() -> None:
    death = Death("SIGSEGV", "no symbol").during("while it loaded")

    assert (death.cause, death.reason) == ("SIGSEGV while it loaded", "SIGSEGV while it loaded (no symbol)")
