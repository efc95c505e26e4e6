"""What the holders of keys use, and how much of it they may."""
