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

* **8 at once, GGUF.** Both call the same kernels with the same rows: a step of eight answers takes 25 ms, a
  prompt token 1.4 ms (360 M, q4_0, measured in process). Batching more cleverly than llama-server does not
  exist there; medians of repeated runs lie between 0.96 and 1.08.
* **8 at once, ONNX.** A prompt token costs 1.6 ms whoever computes it, so 128 of them are 0.2 s of an
  answer's time that no batching shortens. Decode alone is 2.9 times faster for eight rows in one pass (23
  ms) than for eight in turn (8.5 ms each).
* **10 system prompts, 200 requests.** llama-server keeps the ten beginnings as well, in its own prompt
  cache in memory. Both then compute 24 + 16 tokens a request, and the copies are small on both sides.
* **24 requests with a shared beginning.** With 16 answer tokens the ratio lies at 2; with longer answers
  decode, where both are equal, takes a larger share.
* **Arrivals.** Prompts are read in the order of their arrival and in chunks of 250 ms, which helps the
  first token; near 70 % load the rest of the wait is for a free slot, which is as long for both.
* **JSON.** Tokens that the grammar forces need no choice, but still a row of arithmetic: about a quarter of
  all tokens here. On the demo model (a step takes 1 ms) the way through MQTT, two commits to the ledger and
  back costs more than the answer: in process the engine gives 65 answers/s, the agent needs 4 ms of
  processor time for each.
"""
ALONE = """
## promptd alone

Differences and ratios between neighbours measured in turn. The two figures of a chat through MQTT are
medians of 31 pairs: requester, broker, agent and two computing threads share two cores, and what the first
three need, the last two lose.

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
