"""Writes `docs/benchmarks.md` from what has been measured."""

from benchmarks.contest import THREADS
from benchmarks.results import Results
from benchmarks.table_rows import Row, rows_of
from benchmarks.versions import versions

HEAD = """# Benchmarks

Measured by `make bench` on one machine, promptd and its peers in turn, round after round, with the same
questions. Ratios are medians over the rounds of promptd's figure divided by the peer's in the same round; the
two figures beside a ratio are medians of their own. Absolute numbers say more about the machine than about
promptd.

![promptd against its peers](benchmarks.svg)

## Against peers

Everything is measured end to end by the same requester on the same machine: promptd through MQTT, servers
through HTTP with a stream of events, bridges through MQTT. Tokens/s are the completion tokens of all answers
over the time from the first request to the end of the last answer.
"""
NOTES = """
The models are the embedded demo, and random weights of two shapes (4-bit, q4_0 in GGUF and blocks of 32 with
int8 activations in ONNX): speed depends on the shape, not on the values. Their end tokens have zero rows, so
that every answer has its full length, which is checked, as are the counts of prompt tokens. Their answers do
not repeat themselves: a draft looked up in the text would never fit, and nothing is gained by that here.

| peer | how it runs |
| --- | --- |
| llama-server | 8 slots with the same context each, all else as by default; asked at `/v1/completions` |
| llama-server, unified KV | the same with `--kv-unified` |
| llama_cpp.server | llama-cpp-python's own server, one answer at a time |
| bridge | paho and `llama_cpp.Llama`, as somebody would write it, one answer at a time |
| genai Generator | onnxruntime-genai behind MQTT, `intra_op_num_threads` set, one answer at a time |
| genai Engine | onnxruntime-genai's own batching behind MQTT, `intra_op_num_threads` set |

llama-server is compiled from the llama.cpp that lies inside llama-cpp-python's source, with the same compiler
and options as the library that promptd uses. Its defaults are continuous batching, prompt cache, cache of
idle slots and flash attention where it helps. llama_cpp.server runs with `--interrupt_requests false`: by
default a new question cuts off the answer before it.

The bridges send their text as often as promptd does. The 70 % of the Poisson process are of the rate that
llama-server sustains with 8 at once; both hear the same questions at the same moments.
"""
BOUNDS = """
## Where a goal is not reached, and what bounds it

Milliseconds are of the 360 M model in process on the machine above: a prompt token takes 3.1 ms, a step of
one answer 19 to 23 ms, of eight answers 60 ms after 128 tokens and 90 ms after 512.

* **8 at once, GGUF.** 128 prompt tokens take 0.39 s and 64 of eight shared steps 0.5 s: nine tenths of the
  time are arithmetic that both do. promptd switches flash attention off on the CPU, which reads prompts 12
  to 15 % slower, writes as fast at this depth, and faster beyond it
  ([0007](decisions/0007-no-flash-attention-on-the-cpu.md)); with it, 1.06 was measured on another machine.
* **Arrivals.** Near 70 % load a request waits for a free slot, which is as long for both, and then for its
  prompt to be read; there the slower reading shows. With flash attention 0.78 was measured on another
  machine.
* **One stream, ONNX.** In process both need 1.4 s for an answer. Agent, broker and requester take 35 ms of
  processor time from two threads that compute on two cores.
* **8 at once, ONNX.** A prompt token costs 3.0 ms whoever computes it, so 128 of them are 0.4 s of an
  answer's time that no batching shortens; a step of eight takes 47 ms, eight steps in turn 124 ms.
* **10 system prompts, 200 requests.** llama-server keeps the ten beginnings as well, in memory. A request
  then costs 24 prompt tokens at 500 tokens of depth (100 ms, small passes are dear) and 16 shared steps
  (180 ms); 0.4 GB of keys and values pass by in each step. Taking over a beginning copies 50 MB in 10 ms.
* **24 requests with a shared beginning.** The beginning is read once instead of eight times; what is left
  are 32 prompt tokens and the answers, which cost both the same.
* **JSON.** 70 prompt tokens (210 ms) and 39 tokens of answer (290 ms) are nine tenths of an answer's time,
  the grammar is 4 ms of it; llama-server's steps at so small a depth are faster with flash attention. On
  the demo model (a step takes 2 ms) the worker needs 35 ms of processor time for an answer and the agent 4
  ms, and all of them share two cores: in process the engine gives 54 answers/s.
"""
ALONE = """
## promptd alone

Differences and ratios between neighbours measured in turn. The two figures of a chat through MQTT are
medians of 31 pairs: requester, broker, agent and two computing threads share two cores, and what the first
three need, the last two lose. The agent keeps the beginning of that chat, the engine in process computes it
anew each time, so the first token is not of equal work.

| what | measured | goal |
| --- | --- | --- |
"""
AGAIN = """
## Measure yourself

`make bench` runs everything, in about an hour on 2 cores; the first time it also compiles llama-server (6
minutes) and writes the random models. `make bench BENCH=eight` measures one part again and updates this page;
`make bench BENCH=--quick` shows everything with fewer requests in a few minutes and leaves this page alone;
`make bench BENCH=--help` names the parts. Raw figures of every round are in `build/benchmarks/full.json`.
"""


def page(results: Results) -> str:
    """Return the page as Markdown."""
    alone = ["| " + " | ".join(row) + " |\n" for part in results.parts.values() for row in part.rows]
    dates = sorted({part.when for part in results.parts.values()})
    load = max(part.load for part in results.parts.values())
    facts = (
        f"\n{' to '.join(dict.fromkeys((dates[0], dates[-1])))}, {results.machine}, {THREADS} threads for"
        f"\neverybody; highest load average before a part {load:.1f}.\n{versions()}.\n\n"
    )
    return "".join((HEAD, facts, table(rows_of(results)), NOTES, BOUNDS, ALONE, *alone, AGAIN))


def table(rows: list[Row]) -> str:
    """Return the table against peers as Markdown."""
    head = ("workload", "model", "against", "ratio", "figures", "goal", "reached")
    lines = [_line(head), _line(("---",) * len(head))]
    for row in rows:
        reached = "" if row.goal is None else "yes" if row.is_reached else "**no**"
        model = f"{row.model} {row.form}"
        cells = (row.title, model, row.peer, f"{row.ratio:.2f}", row.detail, row.wish, reached)
        lines.append(_line(cells))
    return "\n".join(lines) + "\n"


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"
