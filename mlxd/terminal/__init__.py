"""What people see on a terminal: the banner, tables, progress bars."""
