"""What travels over MQTT: payloads, topics and errors."""
