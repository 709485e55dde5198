"""What every band of a file is: its name, its date, its scale, or a mask."""
