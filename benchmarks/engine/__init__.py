"""What the continuous engine is for: throughput, time to the first token, and streams that nobody's prompt stalls."""
