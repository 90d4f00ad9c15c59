"""The only room that knows an MQTT library."""
