"""Answers prompts greedily with each library that can run an exported file, one prompt at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from demo_model import chat

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Answer = Callable[[str], str]

MAX_TOKENS = 200


def hugging_face(folder: Path) -> Answer:
    """Answer with the float32 Hugging Face model, the reference for all others."""
    from transformers import AutoTokenizer, Phi3ForCausalLM  # noqa: PLC0415

    model = Phi3ForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    @torch.no_grad()
    def answer(prompt: str) -> str:
        ids = tokenizer(chat.prompt_text(prompt), return_tensors="pt")
        said = model.generate(**ids, max_new_tokens=MAX_TOKENS, do_sample=False)[0]
        return str(tokenizer.decode(said[ids["input_ids"].shape[1] :], skip_special_tokens=True))

    return answer


def llama_cpp(file: Path, threads: int) -> Answer:
    """Answer with llama.cpp and a GGUF file."""
    from llama_cpp import Llama  # noqa: PLC0415

    llama = Llama(str(file), n_ctx=2048, n_threads=threads, n_threads_batch=threads, verbose=False)

    def answer(prompt: str) -> str:
        ids = llama.tokenize(chat.prompt_text(prompt).encode(), add_bos=False, special=True)
        done = llama.create_completion(ids, max_tokens=MAX_TOKENS, temperature=0.0)
        return str(done["choices"][0]["text"])

    return answer


def onnx(folder: Path, threads: int) -> Answer:
    """Answer with onnxruntime-genai and a folder of its model builder."""
    import onnxruntime_genai as og  # noqa: PLC0415

    config = og.Config(str(folder))
    config.overlay(
        f'{{"model": {{"decoder": {{"session_options": {{"intra_op_num_threads": {threads}}}}}}}}}'
    )
    model = og.Model(config)
    tokenizer = og.Tokenizer(model)

    def answer(prompt: str) -> str:
        ids = tokenizer.encode(chat.prompt_text(prompt))
        params = og.GeneratorParams(model)
        params.set_search_options(do_sample=False, max_length=len(ids) + MAX_TOKENS)
        generator = og.Generator(model, params)
        generator.append_tokens(ids)
        said: list[int] = []
        while not generator.is_done():
            generator.generate_next_token()
            said.append(int(generator.get_next_tokens()[0]))
        return str(tokenizer.decode([token for token in said if token != chat.END_ID]))

    return answer
