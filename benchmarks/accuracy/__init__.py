"""How far each meter is from the truth, on a simulated driver whose power is scripted."""
