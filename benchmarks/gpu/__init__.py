"""What only a GPU runs, checked and measured on any machine that has one."""
