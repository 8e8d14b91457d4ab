"""Loopback ports for servers under test."""

import socket

HOST = "127.0.0.1"


def free_port() -> int:
    """A port that the system says is free now; whoever binds it must be ready to lose a race for it."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
    return port
