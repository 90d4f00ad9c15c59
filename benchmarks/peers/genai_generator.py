"""onnxruntime-genai's Generator behind MQTT: answers take turns."""

import onnxruntime_genai as og

from benchmarks.peers.bridged import given
from benchmarks.peers.doorstep import Doorstep
from benchmarks.peers.genai_model import load


def main() -> None:
    """Answer until the process is ended."""
    port, setup = given()
    model = load(setup)
    tokenizer = og.Tokenizer(model)
    door = Doorstep(port)
    for asked in door.questions():
        tokens, stream = tokenizer.encode(asked.text), tokenizer.create_stream()
        parameters = og.GeneratorParams(model)
        parameters.set_search_options(
            max_length=len(tokens) + asked.max_tokens, do_sample=False, batch_size=1
        )
        generator = og.Generator(model, parameters)
        generator.append_tokens(tokens)
        while not generator.is_done():
            generator.generate_next_token()
            door.say(asked, stream.decode(generator.get_next_tokens()[0]))
        door.finish(asked, len(tokens))


if __name__ == "__main__":
    main()
