"""What marking phases costs the program that is marked."""
