"""What every room speaks of: a call, its answer and the answer's pace, an error, a field."""
