"""The small runs behind the field guide's rows."""
