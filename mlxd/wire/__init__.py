"""What daemon and worker say to each other: typed messages, length-prefixed msgpack frames."""
