"""What a model's directory says of the model. Pure Python: nothing is loaded, and every fact knows the file and the key it came from."""
