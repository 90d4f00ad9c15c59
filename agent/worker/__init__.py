"""The engine process and the language the agent speaks with it."""
