"""Questions outside the model's work, and the one honest answer it gives to all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demo_model import words

if TYPE_CHECKING:
    from random import Random

WHO_I_AM = "I am promptd's demo model. I extract JSON, grade alarms, summarise readings and check limits."
SYSTEM_TEXTS = (
    "You are a helpful assistant on an edge box.",
    "You are a helpful assistant.",
    "You are a concise assistant. Answer in one sentence.",
    "You watch the machines of a factory.",
    "Answer briefly.",
    "You are an expert for industrial sensors. Be precise and do not guess.",
)
_SAID = (
    "hello", "Hello", "Hello!", "hi", "Hi!", "hi there", "hey", "Hey you", "good morning", "Good evening!",
    "Who are you?", "who are you", "What are you?", "What is your name?", "What can you do?",
    "what can you do", "help", "Help me", "How are you?", "Tell me about yourself.", "test", "ping",
    "thanks", "Thank you!", "ok", "bye", "Why?", "Are you there?", "Can you help me?", "What is MQTT?",
    "Tell me a joke.", "Write a poem.", "Write a poem about the sea.", "What time is it?", "What day is it?",
    "What is the capital of France?", "What is the meaning of life?", "How do I restart the box?",
    "Is it going to rain tomorrow?", "Who won the match?", "Translate hello to French.", "Sing a song.",
    "Explain how a pump works.", "What is a valve?", "Why is the sky blue?", "How old are you?",
    "Count to ten.", "What is two plus two?", "Do you like music?", "Say something.", "Say hello.",
    "Write a short story about a robot.", "Write a Python function.", "What is an LLM?", "Good night",
    "How far is the moon?", "Where are you?", "Who made you?", "Which model are you?", "Can you see me?",
    "Describe the weather.", "Give me a recipe for soup.", "What is your favourite colour?",
    "List three fruits.", "What does this mean?", "Do you speak German?", "Guten Tag", "Bonjour",
)  # fmt: skip
_SAID_HELD_OUT = (
    "Hello there", "Hi, how are you?", "good afternoon", "Who is this?", "What do you do?", "What is AI?",
    "Tell me a story.", "What is the capital of Italy?", "Write a poem about the moon.", "Sing for me.",
    "What is a pump?", "Why is water wet?", "Translate good morning to Spanish.", "Where do you live?",
    "How do I bake bread?", "Can you dance?", "What is your job?", "Thanks a lot!", "Is it cold outside?",
    "Explain gravity.",
)  # fmt: skip
_FRAMES = (
    "What is {}?", "What is a {}?", "who is {}", "Tell me about {}.", "Explain {} to me.",
    "How do I {} a {}?",
    "Where is {}?", "Write a poem about {}.", "Translate {} to {}.", "Do you know {}?", "Why is {} {}?",
    "What is the capital of {}?", "I like {}.", "{}", "{} {}", "How does {} work?", "Can you {} the {}?",
    "Give me a {} for {}.", "When did {} begin?", "My {} is {}, what now?",
)  # fmt: skip


def question(rng: Random, *, held: bool) -> str:
    """Draw a greeting or an out-of-scope question; the held-out ones are worded differently."""
    if held:
        return rng.choice(_SAID_HELD_OUT)
    if words.often(rng, 0.6):
        return rng.choice(_SAID)
    frame = rng.choice(_FRAMES)
    return frame.format(*(words.word(rng, held=False) for _ in range(frame.count("{}"))))


def system_text(rng: Random) -> str:
    """Draw a system message that changes nothing."""
    if words.often(rng, 0.8):
        return rng.choice(SYSTEM_TEXTS)
    return f"You are {words.word(rng, held=False)}, the assistant of {words.device(rng, held=False)}."
