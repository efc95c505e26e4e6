"""What every HTTP listener shares: sockets, security, bodies, errors."""
