"""What all benchmarks share: servers, a client that looks at the clock, load, statistics, output."""
