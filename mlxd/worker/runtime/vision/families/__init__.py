"""What each family of models makes of a picture: which text takes its place, and which of its tokens embeddings replace."""
