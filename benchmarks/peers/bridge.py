"""The bridge a user would write: paho and llama-cpp-python's high-level API, one answer at a time."""

from typing import Any

from llama_cpp import Llama

from benchmarks.peers.bridged import given
from benchmarks.peers.doorstep import Doorstep


def main() -> None:
    """Answer until the process is ended."""
    port, setup = given()
    llama: Any = Llama(  # its streams and whole answers have one type
        str(setup.model),
        n_ctx=setup.context_tokens,
        n_threads=setup.threads,
        n_threads_batch=setup.threads,
        verbose=False,
    )
    door = Doorstep(port)
    for asked in door.questions():
        prompt_tokens = len(llama.tokenize(asked.text.encode()))
        for piece in llama.create_completion(
            asked.text, max_tokens=asked.max_tokens, temperature=0, stream=True
        ):
            if not piece["choices"][0]["finish_reason"]:  # the last piece says why it ends
                door.say(asked, piece["choices"][0]["text"])
        door.finish(asked, prompt_tokens)


if __name__ == "__main__":
    main()
